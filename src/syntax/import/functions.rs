//! The functions that a bake file may call, as far as they make sense in an import.
//!
//! Those of bake's standard library that people use for names, tags and
//! arguments. One whose answer differs from run to run is refused: an Imagefile
//! says what an image is. Knows no variables.

use hcl::Value;
use hcl::eval::{Context, Func, FuncArgs, FuncDef, ParamType};

/// Longer values are refused: each could stand in the next many times.
pub(super) const LONGEST: usize = 4 * 1024;
/// The most items a function may answer with.
const MOST: usize = 1000;

type Answer = Result<Value, String>;

/// Makes every function known to `context`.
pub(super) fn declare(context: &mut Context<'_>) {
    for (name, function) in TABLE {
        context.declare_func(*name, FuncDef::builder().variadic_param(ParamType::Any).build(*function));
    }
}

const TABLE: &[(&str, Func)] = &[
    // Texts.
    ("upper", |a| Ok(text(&a, 0)?.to_uppercase().into())),
    ("lower", |a| Ok(text(&a, 0)?.to_lowercase().into())),
    ("title", |a| Ok(title(&text(&a, 0)?).into())),
    ("strlen", |a| Ok((text(&a, 0)?.chars().count() as u64).into())),
    ("trimspace", |a| Ok(text(&a, 0)?.trim().into())),
    ("chomp", |a| Ok(text(&a, 0)?.trim_end_matches(['\n', '\r']).into())),
    ("trim", |a| {
        let cut: Vec<char> = text(&a, 1)?.chars().collect();
        Ok(text(&a, 0)?.trim_matches(cut.as_slice()).into())
    }),
    ("trimprefix", |a| {
        let whole = text(&a, 0)?;
        Ok(whole.strip_prefix(text(&a, 1)?.as_str()).unwrap_or(&whole).into())
    }),
    ("trimsuffix", |a| {
        let whole = text(&a, 0)?;
        Ok(whole.strip_suffix(text(&a, 1)?.as_str()).unwrap_or(&whole).into())
    }),
    ("replace", |a| {
        let (what, by) = (text(&a, 1)?, text(&a, 2)?);
        if what.is_empty() {
            Err("the text to replace is empty".into())
        } else {
            bounded(text(&a, 0)?.replace(&what, &by))
        }
    }),
    ("substr", substr),
    ("strrev", |a| Ok(text(&a, 0)?.chars().rev().collect::<String>().into())),
    ("split", |a| {
        let (by, whole) = (text(&a, 0)?, text(&a, 1)?);
        Ok(Value::Array(whole.split(by.as_str()).take(MOST).map(Value::from).collect()))
    }),
    ("join", |a| {
        let by = text(&a, 0)?;
        let lists = a.iter().skip(1).map(items).collect::<Result<Vec<_>, _>>()?;
        let texts = lists.concat().iter().map(shown).collect::<Result<Vec<_>, _>>()?;
        bounded(texts.join(&by))
    }),
    ("format", format),
    ("indent", |a| {
        let by = usize::try_from(number(&a, 0)?.max(0)).unwrap_or_default().min(MOST);
        bounded(text(&a, 1)?.replace('\n', &format!("\n{}", " ".repeat(by))))
    }),
    ("sanitize", |a| {
        let kept = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        Ok(text(&a, 0)?.chars().map(kept).collect::<String>().into())
    }),
    ("basename", |a| Ok(text(&a, 0)?.rsplit('/').next().unwrap_or_default().into())),
    ("dirname", |a| Ok(text(&a, 0)?.rsplit_once('/').map_or(".", |(folder, _)| folder).into())),
    // Lists and maps.
    ("concat", |a| limited(a.iter().map(items).collect::<Result<Vec<_>, _>>()?.concat())),
    ("flatten", |a| {
        let inner = items(arg(&a, 0)?)?;
        let flat = inner.iter().map(|item| item.as_array().cloned().unwrap_or_else(|| vec![item.clone()]));
        limited(flat.collect::<Vec<_>>().concat())
    }),
    ("compact", |a| {
        let kept = |item: &Value| !item.is_null() && item.as_str() != Some("");
        Ok(Value::Array(items(arg(&a, 0)?)?.into_iter().filter(kept).collect()))
    }),
    ("distinct", |a| {
        let mut seen: Vec<Value> = Vec::new();
        for item in items(arg(&a, 0)?)?.into_iter().take(MOST) {
            if !seen.contains(&item) {
                seen.push(item);
            }
        }
        Ok(Value::Array(seen))
    }),
    ("reverse", |a| Ok(Value::Array(items(arg(&a, 0)?)?.into_iter().rev().collect()))),
    ("sort", |a| {
        let mut texts = items(arg(&a, 0)?)?.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
        texts.sort();
        Ok(Value::Array(texts.into_iter().map(Value::from).collect()))
    }),
    ("length", |a| match arg(&a, 0)? {
        Value::Object(map) => Ok((map.len() as u64).into()),
        list => Ok((items(list)?.len() as u64).into()),
    }),
    ("contains", |a| Ok(items(arg(&a, 0)?)?.contains(arg(&a, 1)?).into())),
    ("element", |a| {
        let list = items(arg(&a, 0)?)?;
        let at = number(&a, 1)?.rem_euclid(i64::try_from(list.len().max(1)).unwrap_or(i64::MAX));
        list.get(usize::try_from(at).unwrap_or_default()).cloned().ok_or_else(|| "the list is empty".into())
    }),
    ("range", |a| {
        let numbers = (0..a.len()).map(|at| number(&a, at)).collect::<Result<Vec<_>, _>>()?;
        let (from, to, step) = match numbers.as_slice() {
            [to] => (0, *to, 1),
            [from, to] => (*from, *to, 1),
            [from, to, step] if *step > 0 => (*from, *to, *step),
            _ => return Err("expected one to three numbers, the step above zero".into()),
        };
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        limited((from..to).step_by(step).take(MOST + 1).map(Value::from).collect())
    }),
    ("keys", |a| Ok(Value::Array(object(&a, 0)?.keys().map(|key| key.as_str().into()).collect()))),
    ("values", |a| Ok(Value::Array(object(&a, 0)?.values().cloned().collect()))),
    ("lookup", |a| {
        let found = object(&a, 0)?.get(&text(&a, 1)?).cloned();
        found.or_else(|| arg(&a, 2).ok().cloned()).ok_or_else(|| "there is no such key".into())
    }),
    ("merge", |a| {
        let mut merged = hcl::Map::new();
        for at in 0..a.len() {
            merged.extend(object(&a, at)?);
        }
        Ok(Value::Object(merged))
    }),
    // Choices.
    ("coalesce", |a| {
        a.iter().find(|value| !value.is_null()).cloned().ok_or_else(|| "every argument is null".into())
    }),
    ("equal", |a| Ok((arg(&a, 0)? == arg(&a, 1)?).into())),
    ("notequal", |a| Ok((arg(&a, 0)? != arg(&a, 1)?).into())),
    ("and", |a| Ok((truth(&a, 0)? && truth(&a, 1)?).into())),
    ("or", |a| Ok((truth(&a, 0)? || truth(&a, 1)?).into())),
    ("not", |a| Ok((!truth(&a, 0)?).into())),
    // Numbers.
    ("add", |a| counted(number(&a, 0)?.checked_add(number(&a, 1)?))),
    ("subtract", |a| counted(number(&a, 0)?.checked_sub(number(&a, 1)?))),
    ("multiply", |a| counted(number(&a, 0)?.checked_mul(number(&a, 1)?))),
    ("divide", |a| counted(number(&a, 0)?.checked_div(number(&a, 1)?))),
    ("modulo", |a| counted(number(&a, 0)?.checked_rem(number(&a, 1)?))),
    ("max", |a| {
        counted((0..a.len()).map(|at| number(&a, at)).collect::<Result<Vec<_>, _>>()?.into_iter().max())
    }),
    ("min", |a| {
        counted((0..a.len()).map(|at| number(&a, at)).collect::<Result<Vec<_>, _>>()?.into_iter().min())
    }),
    // What differs from run to run.
    ("timestamp", |_| Err(DIFFERS.into())),
    ("formatdate", |_| Err(DIFFERS.into())),
    ("uuidv4", |_| Err(DIFFERS.into())),
    ("bcrypt", |_| Err(DIFFERS.into())),
];

const DIFFERS: &str = "it differs from run to run, and would make the image stale each time";

fn arg(args: &FuncArgs, at: usize) -> Result<&Value, String> {
    args.get(at).ok_or_else(|| format!("argument {} is missing", at + 1))
}

fn text(args: &FuncArgs, at: usize) -> Result<String, String> {
    shown(arg(args, at)?)
}

/// A value where a text is wanted: numbers and truths are written out.
fn shown(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err("expected a text".into()),
    }
}

fn items(value: &Value) -> Result<Vec<Value>, String> {
    value.as_array().cloned().ok_or_else(|| "expected a list".into())
}

fn object(args: &FuncArgs, at: usize) -> Result<hcl::Map<String, Value>, String> {
    arg(args, at)?.as_object().cloned().ok_or_else(|| "expected a map".into())
}

fn number(args: &FuncArgs, at: usize) -> Result<i64, String> {
    let value = arg(args, at)?;
    let read = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| "expected a whole number".into())
}

fn truth(args: &FuncArgs, at: usize) -> Result<bool, String> {
    arg(args, at)?.as_bool().ok_or_else(|| "expected true or false".into())
}

fn counted(number: Option<i64>) -> Answer {
    number.map(Value::from).ok_or_else(|| "the result is no number".into())
}

fn limited(items: Vec<Value>) -> Answer {
    if items.len() > MOST { Err(format!("more than {MOST} items")) } else { Ok(Value::Array(items)) }
}

fn bounded(text: String) -> Answer {
    if text.len() > LONGEST { Err("the text is too long".into()) } else { Ok(text.into()) }
}

fn title(text: &str) -> String {
    let mut first = true;
    let letters = text.chars().map(|c| {
        let shown = if first { c.to_uppercase().next().unwrap_or(c) } else { c };
        first = !c.is_alphanumeric();
        shown
    });
    letters.collect()
}

fn substr(args: FuncArgs) -> Answer {
    let letters: Vec<char> = text(&args, 0)?.chars().collect();
    let (from, count) = (number(&args, 1)?, number(&args, 2)?);
    let whole = i64::try_from(letters.len()).unwrap_or(i64::MAX);
    let from = if from < 0 { (whole + from.max(-whole)).max(0) } else { from.min(whole) };
    let count = if count < 0 { whole - from } else { count.min(whole - from) };
    let (from, count) =
        (usize::try_from(from).unwrap_or_default(), usize::try_from(count).unwrap_or_default());
    Ok(letters[from..from + count].iter().collect::<String>().into())
}

/// `%s`, `%d`, `%v` and `%%`, with no widths.
fn format(args: FuncArgs) -> Answer {
    let pattern = text(&args, 0)?;
    let mut parts = pattern.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut at = 1;
    while let Some(part) = parts.next() {
        if part.is_empty() {
            out.push('%');
            out.push_str(parts.next().unwrap_or_default());
            continue;
        }
        let rest = part
            .strip_prefix(['s', 'd', 'v'])
            .ok_or_else(|| format!("no verb `%{}` is known", &first(part)))?;
        out.push_str(&text(&args, at)?);
        out.push_str(rest);
        at += 1;
    }
    bounded(out)
}

fn first(text: &str) -> String {
    text.chars().take(1).collect()
}
