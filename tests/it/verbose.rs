//! `-v` tells more in every verb but `run`, and `-s` stays silent.

use crate::sandbox::{Sandbox, fixture_or_skip};

#[test]
fn a_plan_and_a_check_tell_fresh_images_and_every_cause() {
    let Some(diamond) = fixture_or_skip("verbose plan", "diamond") else { return };
    diamond.imk("base left").says("0 fresh, 2 built, 0 failed");
    diamond.append("left/words.txt", "more\n").edit("left/Dockerfile", "FROM base\nCOPY words.txt /other\n");
    let stale = "left: stale, ";
    for verb in ["plan", "check"] {
        let brief = diamond.imk(&format!("{verb} base left")).out();
        assert!(!brief.contains("base: fresh") && brief.contains("(and "), "{verb}: {brief}");
        let told = diamond.imk(&format!("{verb} -v base left")).out();
        let left = told.lines().find(|line| line.starts_with(stale)).unwrap();
        assert!(
            told.starts_with("base: fresh\n") && left.contains("; ") && !left.contains("(and "),
            "{verb}: {told}"
        );
    }
}

#[test]
fn lists_and_logs_tell_whole_ids_and_where_names_are_from() {
    let Some(diamond) = fixture_or_skip("verbose lists", "diamond") else { return };
    diamond.imk("base").says("0 fresh, 1 built, 0 failed");
    let id = diamond.id("base");
    let list = diamond.imk("list -v base").code(0).stdout;
    for line in
        ["base: fresh".to_owned(), "  dockerfile   base/Dockerfile".into(), format!("  id           {id}")]
    {
        assert!(list.lines().any(|told| told == line), "{line}: {list}");
    }
    assert!(diamond.imk("log -v base").code(0).stdout.contains(&id));
    let tags = diamond.imk("tags -v base left").code(0).stdout;
    assert!(tags.contains("base:latest  of `latest`\n"), "{tags}");
    assert!(tags.contains("left:latest  of `latest`, which it lacks\n"), "{tags}");
}

#[test]
fn a_build_is_told_line_by_line_and_in_silence_not_at_all() {
    let Some(diamond) = fixture_or_skip("verbose build", "diamond") else { return };
    let run = diamond.imk("-v base").code(0);
    assert!(run.stderr.contains("base: [1/2] COPY"), "{}", run.stderr);
    diamond.append("left/words.txt", "more\n");
    let run = diamond.imk("-sv left").code(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    diamond.append("left/words.txt", "more\n");
    let run = diamond.imk("-kv left").code(0);
    assert!(run.stderr.contains("left: [2/3] COPY"), "{}", run.stderr);
}

#[test]
fn the_help_of_a_verb_says_what_is_told_more() {
    let sandbox = Sandbox::empty();
    let help = sandbox.imk("list --help").code(0).stdout;
    assert!(help.contains("-v tells more: a paragraph an image"), "{help}");
    let help = sandbox.imk("run --help").code(0).stdout;
    assert!(!help.contains("-v tells more"), "{help}");
}
