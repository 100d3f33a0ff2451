//! Random edits, failures and removals behind imk's back, with a save and a
//! load between all of them: every run must agree with a clean evaluation.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::gc::tests::{Ending, Failures, Lab};

/// A small generator with a seed that a failure prints (xorshift64*).
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % sides
    }
}

/// The repository as the test thinks of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    images: BTreeMap<String, Image>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    from: Option<String>,
    copies: Option<String>,
    file: usize,
    comment: usize,
    arg: usize,
}

impl Model {
    pub fn write(&self, lab: &Lab) {
        let names: Vec<String> = self
            .images
            .iter()
            .map(|(name, image)| format!("\"{name}\": (args: {{\"A\": \"{}\"}})", image.arg))
            .collect();
        lab.write("Imagefile.ron", &format!("(images: {{{}}})", names.join(", ")));
        for (name, image) in &self.images {
            let from = image.from.as_deref().unwrap_or("scratch");
            let mut text =
                format!("# {}\nFROM {from}\nARG A\nENV NAME=name-{name}\nCOPY file /f\n", image.comment);
            if let Some(other) = &image.copies {
                text += &format!("COPY --from={other} / /o\n");
            }
            lab.write(&format!("{name}/Dockerfile"), &text);
            lab.write(&format!("{name}/file"), &format!("{} of {name}", image.file));
        }
    }

    /// Only earlier images may be bases: no cycles.
    fn some_earlier(&self, name: &str, dice: &mut Dice) -> Option<String> {
        let earlier: Vec<&String> = self.images.keys().filter(|other| other.as_str() < name).collect();
        if earlier.is_empty() || dice.roll(3) == 0 {
            return None;
        }
        Some(earlier[dice.roll(earlier.len())].clone())
    }

    pub fn edit(&mut self, dice: &mut Dice, lab: &Lab) {
        let names: Vec<String> = self.images.keys().cloned().collect();
        let name = names[dice.roll(names.len())].clone();
        match dice.roll(12) {
            0 => self.image(&name).comment += 1,
            1..=3 => self.image(&name).file = dice.roll(4),
            4 => self.image(&name).arg = dice.roll(3),
            5 => self.image(&name).from = self.some_earlier(&name, dice),
            6 => self.image(&name).copies = self.some_earlier(&name, dice),
            7 if self.images.len() < 9 => {
                let new = format!("i{}", dice.roll(12));
                self.images.entry(new).or_default();
            }
            8 if self.images.len() > 2 => {
                let used =
                    |image: &Image| [&image.from, &image.copies].into_iter().flatten().any(|n| *n == name);
                if !self.images.values().any(used) {
                    self.images.remove(&name);
                }
            }
            9 => lab.engine.fail(&name, Failures::Times(1 + dice.roll(2))),
            10 => lab.engine.mend(&name),
            _ => {
                let tag = format!("{name}:latest");
                if let Some(id) = lab.engine.tags().get(&tag) {
                    lab.engine.forget(id);
                }
            }
        }
    }

    /// A removed image can still be named by another: mends what points nowhere.
    pub fn mend(&mut self) {
        let known: Vec<String> = self.images.keys().cloned().collect();
        for image in self.images.values_mut() {
            for base in [&mut image.from, &mut image.copies] {
                if base.as_ref().is_some_and(|base| !known.contains(base)) {
                    *base = None;
                }
            }
        }
    }

    pub fn image(&mut self, name: &str) -> &mut Image {
        self.images.entry(name.to_owned()).or_default()
    }
}

#[test]
fn every_run_agrees_with_a_clean_evaluation() {
    let steps: usize = std::env::var("IMK_TEST_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let seeds: Vec<u64> = match std::env::var("IMK_TEST_SEED").ok().and_then(|n| n.parse().ok()) {
        Some(seed) => vec![seed],
        None => vec![0x1234_5678, 0x9abc_def1, 0x0f1e_2d3c],
    };
    for seed in seeds {
        let mut dice = Dice(seed);
        let lab = Lab::new("");
        let mut model = Model::default();
        for name in ["i0", "i1", "i2", "i3"] {
            model.image(name);
        }
        model.write(&lab);
        for step in 0..steps {
            for _ in 0..=dice.roll(3) {
                model.edit(&mut dice, &lab);
            }
            model.mend();
            model.write(&lab);
            check(&lab, &model, &format!("seed {seed}, step {step}"));
        }
    }
}

fn check(lab: &Lab, model: &Model, at: &str) {
    let outcome = lab.run("");
    // A clean evaluation: the same repository, no state, an engine of its own.
    let clean = Lab::new("");
    model.write(&clean);
    let expected = clean.run("");
    for name in model.images.keys() {
        let ending = &outcome.summary.endings[name];
        match ending {
            Ending::Failed(_) | Ending::Skipped => continue,
            _ => {}
        }
        let built = &outcome.summary.results[name];
        let wanted = &expected.summary.results[name];
        assert_eq!(built.id, wanted.id, "{at}: {name} is {ending:?} and stale\n{model:#?}");
        assert!(lab.engine.inspect(&built.id.0).unwrap().is_some(), "{at}: {name} is reported and not there");
        assert_eq!(lab.id(name), built.id, "{at}: the tag of {name}");
    }
    let failed = outcome.summary.endings.values().any(|ending| matches!(ending, Ending::Failed(_)));
    if !failed {
        let again = lab.run("");
        assert!(again.built.is_empty(), "{at}: a second run built {:?}", again.built);
    }
}
