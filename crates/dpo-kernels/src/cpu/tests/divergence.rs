use burn::backend::Flex;

use super::{head::settings, *};
use crate::{
    DivergenceSpec, FusedPrimitives, LogitSpec, Precision,
    cpu::bf16::tests::on,
    saved::{KlSaved, LogpsSaved, ReferenceHead},
};

struct Case {
    hidden: FlexTensor,
    head: FlexTensor,
    reference: ReferenceHead<Flex>,
    targets: Vec<i32>,
    grads: [FlexTensor; 2],
    spec: DivergenceSpec,
}

/// The reference has another width.
fn case(n: usize, d_model: usize, vocab: usize) -> Case {
    let reference =
        ReferenceHead { hidden: random([n, d_model + 3], 4), head: random([vocab, d_model + 3], 5) };
    Case {
        hidden: random([n, d_model], 1),
        head: random([vocab, d_model], 2),
        reference,
        targets: (0..n).map(|row| (row * 7919 % vocab) as i32).collect(),
        grads: [vector(&numbers(n, 3)), vector(&numbers(n, 6))],
        spec: DivergenceSpec::default(),
    }
}

const NAMES: [&str; 4] = ["logps", "divergences", "gradient of hidden", "gradient of head"];

impl Case {
    fn run(&self) -> Vec<FlexTensor> {
        let targets = ids(&self.targets);
        let (hidden, head, reference) = (self.hidden.clone(), self.head.clone(), self.reference.clone());
        let said = Flex::logps_kl_forward(
            hidden.clone(),
            head.clone(),
            reference.clone(),
            targets.clone(),
            self.spec,
        );
        let logps =
            LogpsSaved { hidden, head, targets, log_sum_exp: said.log_sum_exp, spec: self.spec.logits };
        let saved = KlSaved {
            logps,
            reference,
            reference_log_sum_exp: said.reference_log_sum_exp,
            reference_softcap: self.spec.reference_softcap,
        };
        let grads = Flex::logps_kl_backward(saved, self.grads.clone(), [true, true]);
        [said.logps, said.kl].into_iter().chain(grads.map(Option::unwrap)).collect()
    }

    /// In f64, which is left to the portable body.
    fn expected(&self) -> Vec<FlexTensor> {
        let reference =
            ReferenceHead { hidden: wide(&self.reference.hidden), head: wide(&self.reference.head) };
        let case = Self {
            hidden: wide(&self.hidden),
            head: wide(&self.head),
            reference,
            targets: self.targets.clone(),
            grads: [wide(&self.grads[0]), wide(&self.grads[1])],
            spec: self.spec,
        };
        case.run()
    }

    fn rows(&self, range: std::ops::Range<usize>) -> Self {
        let part = |x: &FlexTensor| rows(x, range.clone());
        Self {
            hidden: part(&self.hidden),
            head: self.head.clone(),
            reference: ReferenceHead {
                hidden: part(&self.reference.hidden),
                head: self.reference.head.clone(),
            },
            targets: self.targets[range.clone()].to_vec(),
            grads: [part(&self.grads[0]), part(&self.grads[1])],
            spec: self.spec,
        }
    }
}

fn capped(softcap: f64) -> DivergenceSpec {
    let logits = LogitSpec { softcap: Some(softcap), ..LogitSpec::default() };
    DivergenceSpec { logits, reference_softcap: Some(2.0 * softcap) }
}

fn rounded() -> DivergenceSpec {
    let logits = LogitSpec { precision: Precision::Bf16, softcap: None };
    DivergenceSpec { logits, reference_softcap: None }
}

/// Odd sizes; more rows than a tile has; vocabularies of one range and of several.
#[test]
fn agrees_with_the_portable_body_in_f64() {
    for (n, d_model, vocab) in
        [(1, 3, 2), (2, 16, 5), (15, 8, 64), (17, 24, 65), (130, 40, 257), (300, 9, 1000)]
    {
        for spec in [DivergenceSpec::default(), capped(0.5), capped(30.0)] {
            let case = Case { spec, ..case(n, d_model, vocab) };
            for ((found, expected), name) in case.run().iter().zip(&case.expected()).zip(NAMES) {
                let what = format!("{name}, {n} rows, width {d_model}, {vocab} words, {spec:?}");
                assert_close(found, expected, 4e-6, &what);
            }
        }
    }
}

/// On each unit and on none. Slopes that lie next to the middle of two bfloat16 may round either way.
#[test]
fn rounded_operands_agree_with_the_portable_body() {
    for unit in settings() {
        for (n, d_model, vocab) in [(1, 3, 2), (17, 24, 65), (130, 40, 257), (300, 9, 1000)] {
            let case = Case { spec: rounded(), ..case(n, d_model, vocab) };
            let pairs = on(unit, || case.run()).into_iter().zip(case.expected());
            for (((found, expected), name), tolerance) in pairs.zip(NAMES).zip([4e-6, 4e-6, 2e-3, 2e-3]) {
                let on = unit.map_or("no unit", |unit| unit.name);
                assert_close(&found, &expected, tolerance, &format!("{name}, {n} rows on {on}"));
            }
        }
    }
}

/// They are those without a reference, to the last bit.
#[test]
fn a_reference_changes_no_log_probability() {
    for spec in [DivergenceSpec::default(), capped(0.5), rounded()] {
        let case = Case { spec, ..case(130, 40, 700) };
        let (hidden, head, targets) = (case.hidden.clone(), case.head.clone(), ids(&case.targets));
        let (logps, _) = Flex::logps_forward(hidden, head, targets, spec.logits);
        assert_eq!(bits(&case.run()[0]), bits(&logps), "{spec:?}");
    }
}

/// Where the reference says the same, the divergence is 0 to the last bit, and pulls nowhere.
#[test]
fn equal_models_are_0_apart() {
    for spec in [DivergenceSpec::default(), capped(0.5), rounded()] {
        let case = case(70, 40, 700);
        let reference = ReferenceHead { hidden: case.hidden.clone(), head: case.head.clone() };
        let spec = DivergenceSpec { reference_softcap: spec.logits.softcap, ..spec };
        let grads = [vector(&[0.0; 70]), case.grads[1].clone()];
        let said = Case { reference, grads, spec, ..case }.run();
        for (found, name) in said.iter().zip(NAMES).skip(1) {
            assert!(floats(found).iter().all(|x| *x == 0.0), "{name}, {spec:?}");
        }
    }
}

/// Alone, among 2, 7 or 130, at any place, on any number of threads: the same bits.
#[test]
fn a_row_depends_neither_on_the_others_nor_on_threads() {
    for spec in [DivergenceSpec::default(), capped(2.0), rounded()] {
        let all = Case { spec, ..case(300, 72, 300) };
        assert_same_on_any_number_of_threads(|| all.run());
        let expected = all.run();
        for range in [0..1, 5..6, 299..300, 0..2, 3..10, 150..280] {
            let found = all.rows(range.clone()).run();
            for ((found, expected), name) in found.iter().zip(&expected).zip(NAMES).take(3) {
                assert_eq!(
                    bits(found),
                    bits(&rows(expected, range.clone())),
                    "{name} of {range:?}, {spec:?}"
                );
            }
        }
    }
}

/// Logits of ±1,000 on either side: nothing overflows.
#[test]
fn large_logits_stay_finite() {
    let (hidden, head) = (matrix(&[1000.0, -1000.0], [2, 1]), matrix(&[1.0, -1.0], [2, 1]));
    let reference = ReferenceHead { hidden: matrix(&[-1000.0, -1000.0], [2, 1]), head: head.clone() };
    let said = Flex::logps_kl_forward(hidden, head, reference, ids(&[0, 1]), DivergenceSpec::default());
    assert_eq!(floats(&said.kl), [2000.0, 0.0]);
}
