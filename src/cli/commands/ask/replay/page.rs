//! The page with charts: one file that asks nothing of the network, for light and dark.

use std::fmt::Write as _;

use super::figures::{day, headline, remarks, rules, share, short};
use crate::cli::words;
use crate::replay::costs::Replay;
use crate::replay::sums::{Builds, Sums};

const WIDTH: usize = 960;
const HEIGHT: usize = 280;
/// Room for the numbers beside a chart.
const MARGIN: usize = 60;
const ROWS: usize = 25;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2024; --soft: #68707a; --line: #d9dde2; --page: #fff;
  --c0: #b8bec6; --c1: #d9822b; --c2: #8e5bd0; --c3: #1a8f5a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa3ad; --line: #343a42; --page: #15181c;
  --c0: #606a76; --c1: #f0a558; --c2: #b48cf0; --c3: #4cc38a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size_bytes: 1.5rem; } h2 { font-size_bytes: 1.1rem; margin-top: 2.5rem; } p, figcaption { color: var(--soft); }
figure { margin: 0; } svg { width: 100%; height: auto; } svg text { font-size_bytes: 12px; fill: var(--soft); }
.axis { stroke: var(--line); } .r0 { stroke: var(--c0); } .r1 { stroke: var(--c1); } .r2 { stroke: var(--c2); }
.r3 { stroke: var(--c3); } polyline { fill: none; stroke-width: 2; } rect { fill: var(--c3); }
.f0 { background: var(--c0); } .f1 { background: var(--c1); } .f2 { background: var(--c2); } .f3 { background: var(--c3); }
.bar { display: inline-block; height: .8rem; border-radius: 2px; min-width: 1px; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin: 0 .3rem 0 1rem; }
table { border-collapse: collapse; width: 100%; } th { color: var(--soft); font-weight: normal; text-align: left; }
td, th { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } td.w { width: 45%; }
code { font-size: .85em; overflow-wrap: anywhere; }
";

/// The whole page.
pub fn page(replay: &Replay, sums: &Sums) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>imk replay</title>\n\
         <style>{STYLE}</style>\n<h1>What imk would have built</h1>\n<p>{}</p>\n",
        text(&headline(replay))
    );
    rule_table(&mut out, sums);
    for remark in remarks(replay, sums) {
        let _ = writeln!(out, "<p>{}</p>", text(&remark));
    }
    cumulative(&mut out, replay);
    per_commit(&mut out, replay);
    images(&mut out, sums);
    lines(&mut out, sums);
    commits(&mut out, replay);
    out + "</html>\n"
}

fn rule_table(out: &mut String, sums: &Sums) {
    *out +=
        "<table>\n<tr><th>rule<th class=n>builds<th class=n>of all<th class=n>commits without a build<th>\n";
    let most = sums.builds.all.max(1);
    for (at, ((rule, builds), (_, idle))) in
        rules(&sums.builds).into_iter().zip(rules(&sums.idle)).enumerate()
    {
        let wide = builds * 100 / most;
        let _ = writeln!(
            out,
            "<tr><td>{}<td class=n>{builds}<td class=n>{}<td class=n>{idle}\
             <td class=w><span class=\"bar f{at}\" style=\"width:{wide}%\"></span>",
            text(rule),
            share(builds, sums.builds.all)
        );
    }
    *out += "</table>\n";
}

/// Builds so far under each rule. *Rebuild all* would flatten the others and is left out.
fn cumulative(out: &mut String, replay: &Replay) {
    let mut so_far = [0; 4];
    let mut points: Vec<[usize; 4]> = vec![so_far];
    for step in &replay.steps {
        for (sum, (_, builds)) in so_far.iter_mut().zip(rules(&step.builds())) {
            *sum += builds;
        }
        points.push(so_far);
    }
    let top = so_far[1..].iter().copied().max().unwrap_or(0).max(1);
    *out += "<h2>Builds so far</h2>\n<figure>\n";
    chart(out, top, points.len());
    for (at, (rule, _)) in rules(&Builds::default()).into_iter().enumerate().skip(1) {
        let line: Vec<String> = points
            .iter()
            .enumerate()
            .map(|(x, sums)| format!("{},{}", across(x, points.len()), HEIGHT - sums[at] * HEIGHT / top))
            .collect();
        let title = text(rule);
        let _ = writeln!(
            out,
            "<polyline class=r{at} points=\"{}\"><title>{title}</title></polyline>",
            line.join(" ")
        );
    }
    *out += "</svg>\n<figcaption>";
    for (at, (rule, _)) in rules(&Builds::default()).into_iter().enumerate().skip(1) {
        let _ = write!(out, "<span class=\"key f{at}\"></span>{}", text(rule));
    }
    *out += "</figcaption>\n</figure>\n";
}

fn per_commit(out: &mut String, replay: &Replay) {
    let top = replay.steps.iter().map(|step| step.built.len()).max().unwrap_or(0).max(1);
    *out += "<h2>Builds of imk in each commit</h2>\n<figure>\n";
    chart(out, top, replay.steps.len() + 1);
    let wide = (WIDTH / replay.steps.len().max(1)).clamp(1, 24);
    for (at, step) in replay.steps.iter().enumerate().filter(|(_, step)| !step.built.is_empty()) {
        let high = (step.built.len() * HEIGHT / top).max(2);
        let title =
            format!("{} {}: {} builds", short(&step.commit.id), step.commit.summary, step.built.len());
        let _ = writeln!(
            out,
            "<rect x={} y={} width={} height={high}><title>{}</title></rect>",
            across(at, replay.steps.len() + 1),
            HEIGHT - high,
            wide.saturating_sub(1).max(1),
            text(&title)
        );
    }
    *out += "</svg>\n</figure>\n";
}

/// Opens a drawing with its frame and the greatest number.
fn chart(out: &mut String, top: usize, count: usize) {
    let (bottom, right) = (HEIGHT, WIDTH + MARGIN);
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 -10 {right} {}\" role=img>\n<path class=axis d=\"M{MARGIN} 0H{right}M{MARGIN} {bottom}H{right}\"/>\n\
         <text x={} y=4 text-anchor=end>{top}</text><text x={} y={bottom} text-anchor=end>0</text>\
         <text x={right} y={} text-anchor=end>{} commits</text>",
        HEIGHT + 30,
        MARGIN - 6,
        MARGIN - 6,
        HEIGHT + 16,
        count.saturating_sub(1)
    );
}

fn across(at: usize, count: usize) -> usize {
    MARGIN + at * WIDTH / count.saturating_sub(1).max(1)
}

fn images(out: &mut String, sums: &Sums) {
    let most = sums.images.iter().map(|(_, builds)| builds.context.max(builds.shipwright)).max();
    let most = most.unwrap_or(0).max(1);
    *out += "<h2>Images that cost most</h2>\n<table>\n\
             <tr><th>image<th class=n>imk<th class=n>Shipwright<th class=n>context<th>\n";
    for (name, builds) in sums.images.iter().take(ROWS) {
        let Builds { imk, shipwright, context, .. } = builds;
        let _ = write!(
            out,
            "<tr><td>{}<td class=n>{imk}<td class=n>{shipwright}<td class=n>{context}<td class=w>",
            text(name)
        );
        for (at, number) in [(3, imk), (2, shipwright), (1, context)] {
            let wide = number * 100 / most;
            let _ = write!(out, "<div><span class=\"bar f{at}\" style=\"width:{wide}%\"></span></div>");
        }
        *out += "\n";
    }
    *out += "</table>\n";
}

fn lines(out: &mut String, sums: &Sums) {
    *out += "<h2>Lines behind most builds</h2>\n<table>\n<tr><th class=n>builds<th>Dockerfile<th>line\n";
    for (line, builds) in sums.lines.iter().take(ROWS) {
        let (path, line) = (text(&line.path), text(&line.text));
        let _ = writeln!(out, "<tr><td class=n>{builds}<td><code>{path}</code><td><code>{line}</code>");
    }
    *out += "</table>\n";
}

/// The commits that cost something, newest in front.
fn commits(out: &mut String, replay: &Replay) {
    *out += "<h2>Commits</h2>\n<table>\n<tr><th>commit<th>date<th>summary<th class=n>builds<th>why\n";
    for step in replay.steps.iter().rev() {
        let (id, day, summary) = (short(&step.commit.id), day(step.commit.time), text(&step.commit.summary));
        let mut whys: Vec<String> = step.skipped.iter().map(|why| format!("skipped: {why}")).collect();
        whys.extend(step.mistakes.iter().map(|(name, why)| format!("{name} has mistakes: {why}")));
        whys.extend(step.ignored.iter().map(|(name, path)| format!("{name}: {}", words::beyond_git(path))));
        let jobs = step.built.iter();
        whys.extend(jobs.take(6).map(|job| format!("{}: {}", job.name, words::first_reason(&job.reasons))));
        if step.built.len() > 6 {
            whys.push(format!("… and {} more", step.built.len() - 6));
        }
        let whys: Vec<String> = whys.iter().map(|why| text(why)).collect();
        let _ = writeln!(
            out,
            "<tr><td><code>{id}</code><td class=n>{day}<td>{summary}<td class=n>{}<td>{}",
            step.built.len(),
            whys.join("<br>")
        );
    }
    *out += "</table>\n";
}

fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
