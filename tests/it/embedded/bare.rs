//! The machine of a newcomer: no engine, and none configured.

use std::process::Command;

#[test]
fn the_first_command_of_the_readme_works_without_any_engine() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/bare");
    let output = Command::new("bash").arg(script).env("IMK", env!("CARGO_BIN_EXE_imk")).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}{}", said[0], said[1]);
    if !said[0].contains("passed over") {
        assert!(said[0].contains("built without any engine"), "{}", said[0]);
        assert!(
            said[0].contains("nobody has configured") || said[0].contains("imk's own builder"),
            "{}",
            said[0]
        );
    }
}
