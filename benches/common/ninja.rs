//! The images of a generated repository as edges of ninja: a stamp each, which depends on its files and on its base's.

use std::fmt::Write as _;
use std::path::Path;

use super::repository::Shape;

/// Writes `build.ninja` into a folder beside the repository, where neither git nor imk sees it.
///
/// `command` makes a stamp; ninja has `$out` and `$image` in it.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(shape: Shape, state: &Path, command: &str) -> std::io::Result<()> {
    let stamp = |number| state.join(Shape::name(number)).display().to_string();
    let mut text = format!("builddir = {}\nrule stamp\n  command = {command}\n", state.display());
    for number in 0..shape.images {
        let name = Shape::name(number);
        let _ = write!(text, "build {}: stamp {name}/Dockerfile", stamp(number));
        for file in shape.files() {
            let _ = write!(text, " {name}/{file}");
        }
        let base = shape.base(number).map(stamp).unwrap_or_default();
        let _ = writeln!(text, " {base}\n  image = {name}");
    }
    fs_err::create_dir_all(state)?;
    fs_err::write(state.join("build.ninja"), text)
}
