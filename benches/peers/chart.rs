//! The chart of the run in which nothing changed: a bar a tool, on a scale of powers of ten.
//!
//! Colours follow the reader's light or dark scheme.

use std::fmt::Write as _;

use crate::pairs::Figure;
use crate::report::ratio;

const WIDTH: f64 = 760.0;
/// Where bars begin, right of the names.
const LEFT: f64 = 210.0;
/// Room for the figure behind the longest bar.
const RIGHT: f64 = 70.0;
const ROW: f64 = 30.0;
const TOP: f64 = 56.0;

const STYLE: &str = "\
text{font:14px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.small{font-size:12px;fill:#59636e}
.bar{fill:#8c959f}.ours{fill:#0969da}.line{stroke:#d1d9e0}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.bar{fill:#6e7681}.ours{fill:#4493f8}.line{stroke:#3d444d}}";

/// The chart of these figures, in imk's time.
pub fn svg(figures: &[Figure], images: usize) -> String {
    let ours = ("imk", 1.0, true);
    let mut bars: Vec<(&str, f64, bool)> = figures
        .iter()
        .map(|figure| (figure.name, figure.ratio.median, figure.name.starts_with("imk")))
        .chain([ours])
        .collect();
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    let least = bars.first().map_or(1.0, |bar| bar.1).log10().floor().min(-1.0);
    let most = bars.last().map_or(10.0, |bar| bar.1).log10().ceil().max(1.0);
    let place = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * (value.log10() - least) / (most - least);
    let height = TOP + ROW * bars.len() as f64 + 12.0;
    let title = format!("Nothing to do: time of a run over {images} images, in multiples of imk's");
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"0\" y=\"18\">{title}</text>\n"
    );
    for power in least as i32..=most as i32 {
        let x = place(10f64.powi(power));
        let _ = writeln!(
            svg,
            "<line class=\"line\" x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"{}\" y2=\"{height}\"/>\
             <text class=\"small\" x=\"{x:.0}\" y=\"42\" text-anchor=\"middle\">{}</text>",
            TOP - 8.0,
            10f64.powi(power)
        );
    }
    for (row, (name, value, is_ours)) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let class = if *is_ours { "ours" } else { "bar" };
        let end = place(*value).max(LEFT + 2.0);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{:.0}\" height=\"18\" rx=\"2\"/>\
             <text x=\"{:.0}\" y=\"{}\">{}</text>",
            LEFT - 10.0,
            y + 14.0,
            end - LEFT,
            end + 6.0,
            y + 14.0,
            ratio(*value)
        );
    }
    svg.push_str("</svg>\n");
    svg
}
