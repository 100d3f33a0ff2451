//! The transcript in the README is what the program says, word for word.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::sandbox::fixture_or_skip;

#[test]
fn the_transcript_is_what_happens() {
    let Some(chain) = fixture_or_skip("readme", "chain") else { return };
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let after =
        readme.split("<!-- transcript: checked by tests/it/readme.rs -->\n```console\n").nth(1).unwrap();
    let written = after.split("```").next().unwrap();
    let mut happened = String::new();
    for command in written.lines().filter_map(|line| line.strip_prefix("$ ")) {
        happened += &format!("$ {command}\n");
        if let Some(words) = command.strip_prefix("imk") {
            // On a terminal the steps are one live line an image, gone when it ends.
            let run = chain.imk(words);
            let steps = |line: &&str| !line.contains(": [") && !line.contains(": | ");
            let told: Vec<String> =
                chain.tidy(&run.stderr).lines().filter(steps).map(str::to_owned).collect();
            told.iter().for_each(|line| happened += &format!("{line}\n"));
            happened += &chain.tidy(&run.stdout);
        } else {
            let status = Command::new("sh").args(["-c", command]).current_dir(chain.root()).status();
            assert!(status.unwrap().success(), "{command}");
        }
        happened += "\n";
    }
    assert_eq!(happened.trim_end(), written.trim_end());
}

#[test]
fn the_imagefile_of_the_readme_is_one() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let text = readme.split("```ron\n").nth(1).unwrap().split("```").next().unwrap();
    let file = imk::syntax::imagefile::read(text, &Default::default()).unwrap();
    assert_eq!(file.images.len(), 3);
}
