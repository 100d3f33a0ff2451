//! The tables in words, and their place in the page.

use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;

use crate::Table;
use crate::machine;
use crate::pairs::{Figure, Spread};

const BEGIN: &str =
    "<!-- measured: `cargo bench --bench peers` writes what is between here and the end -->\n";
const END: &str = "<!-- end of what is measured -->";

/// All tables, with the machine and the versions.
pub fn text(tables: &[Table], versions: &[String]) -> String {
    let engine = machine::engine().unwrap_or_default();
    let mut text = format!("Measured on {}; {engine}; {}.\n", machine::line(), versions.join(", "));
    for table in tables {
        let size = format!("{} images of {} files", table.images, table.files);
        section(&mut text, &format!("Nothing to do, {size}"), &table.nothing);
        section(&mut text, &format!("One file of one image changed, {size}"), &table.edit);
        section(&mut text, &format!("First build, {size}"), &table.first);
    }
    text
}

fn section(text: &mut String, title: &str, figures: &[Figure]) {
    if figures.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "\n## {title}\n\n| beside imk | its time | imk's time | in imk's time | pairs |\n|---|---|---|---|---|\n"
    );
    for figure in figures {
        let _ = writeln!(
            text,
            "| {} | {} | {} | **{}** ({} to {}) | {} |",
            figure.name,
            time(figure.peer),
            time(figure.imk),
            ratio(figure.ratio.median),
            ratio(figure.ratio.least),
            ratio(figure.ratio.most),
            figure.pairs
        );
    }
}

/// Seconds, or milliseconds below one.
fn time(spread: Spread) -> String {
    let Spread { least, median, most } = spread;
    if most < 1.0 {
        format!("{:.0} ms ({:.0} to {:.0})", median * 1e3, least * 1e3, most * 1e3)
    } else {
        format!("{median:.1} s ({least:.1} to {most:.1})")
    }
}

/// Two digits that count.
pub fn ratio(value: f64) -> String {
    match value {
        value if value < 1.0 => format!("{value:.2}"),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// Puts the text where the page has its measured part.
pub fn put(page: &Path, text: &str) {
    let whole = fs::read_to_string(page).expect("the page is there");
    let (before, rest) = whole.split_once(BEGIN).expect("the page says where the measured part begins");
    let (_, after) = rest.split_once(END).expect("the page says where the measured part ends");
    fs::write(page, format!("{before}{BEGIN}\n{text}\n{END}{after}")).expect("the page can be written");
}
