//! A look that begins before anybody asks, and hashes that are lost.

use super::*;

impl Repo {
    /// The answers of an imk that began to look before it was asked; `between` happens then.
    pub(super) fn ahead(
        &self,
        selections: &[Selection],
        between: impl FnOnce(),
    ) -> Vec<Result<Selected, ReadError>> {
        let tree = self.tree();
        tree.look_ahead();
        between();
        let answers = tree.select(selections);
        tree.save().unwrap();
        answers
    }
}

#[test]
fn an_edit_behind_an_early_look_is_seen_by_the_next_run_at_the_latest() {
    let repo = Repo::new(&[("a", "000"), ("d/e", "000"), ("d/g/h", "000")]);
    let selections = [reads("", &[""]), reads("d", &["g", "e"])];
    repo.settle(&selections);
    for round in 1..100 {
        let path = ["a", "d/e", "d/g/h"][round % 3];
        repo.ahead(&selections, || edit_in_secret(&repo.path(path), &format!("{round:03}")));
        assert_eq!(repo.ahead(&selections, || {}), repo.fresh(&selections), "round {round}");
    }
}

#[test]
fn hashes_that_were_lost_leave_no_answer_behind_that_nobody_checks() {
    for lost in ["nonsense", ""] {
        let repo = Repo::new(&[("a/x", "1"), ("a/y", "1"), ("c/z", "1")]);
        let (a, c) = ([reads("a", &[""])], [reads("c", &[""])]);
        repo.settle(&[a[0].clone(), c[0].clone()]);
        match lost {
            "" => fs::remove_file(repo.path(".imk/hashes")).unwrap(),
            lost => fs::write(repo.path(".imk/hashes"), lost).unwrap(),
        }
        repo.write("c/z", "2");
        assert_eq!(repo.cached(&c), repo.fresh(&c));
        repo.write("a/x", "2");
        assert_eq!(repo.cached(&a), repo.fresh(&a));
        assert_eq!(repo.cached(&c), repo.fresh(&c));
    }
}
