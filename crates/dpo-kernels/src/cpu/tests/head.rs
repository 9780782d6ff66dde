use burn::backend::Flex;

use super::*;
use crate::{
    FusedPrimitives, LogitSpec, Precision,
    cpu::bf16::{
        Unit,
        tests::{on, units},
    },
    portable,
    saved::LogpsSaved,
};

struct Case {
    hidden: FlexTensor,
    head: FlexTensor,
    targets: Vec<i32>,
    grad: FlexTensor,
    spec: LogitSpec,
}

fn capped(softcap: f64) -> LogitSpec {
    LogitSpec { softcap: Some(softcap), ..LogitSpec::default() }
}

fn case(n: usize, d_model: usize, vocab: usize) -> Case {
    Case {
        hidden: random([n, d_model], 1),
        head: random([vocab, d_model], 2),
        targets: (0..n).map(|row| (row * 7919 % vocab) as i32).collect(),
        grad: vector(&numbers(n, 3)),
        spec: LogitSpec::default(),
    }
}

impl Case {
    fn run(&self) -> Vec<FlexTensor> {
        let targets = ids(&self.targets);
        let (logps, log_sum_exp) =
            Flex::logps_forward(self.hidden.clone(), self.head.clone(), targets.clone(), self.spec);
        let saved = LogpsSaved {
            hidden: self.hidden.clone(),
            head: self.head.clone(),
            targets,
            log_sum_exp: log_sum_exp.clone(),
            spec: self.spec,
        };
        let grads = Flex::logps_backward(saved, self.grad.clone(), [true, true]);
        [logps, log_sum_exp].into_iter().chain(grads.map(Option::unwrap)).collect()
    }

    fn expected(&self) -> Vec<FlexTensor> {
        let (hidden, head, targets) = (wide(&self.hidden), wide(&self.head), ids(&self.targets));
        let (logps, log_sum_exp) =
            portable::logps::forward::<Flex>(hidden.clone(), head.clone(), targets.clone(), self.spec);
        let saved = LogpsSaved { hidden, head, targets, log_sum_exp: log_sum_exp.clone(), spec: self.spec };
        let grads = portable::logps::backward::<Flex>(saved, wide(&self.grad), [true, true]);
        [logps, log_sum_exp].into_iter().chain(grads.map(Option::unwrap)).collect()
    }
}

const NAMES: [&str; 4] = ["logps", "log-sum-exp", "gradient of hidden", "gradient of head"];

/// Odd sizes; more rows than a tile has; vocabularies of one range and of several.
#[test]
fn agrees_with_the_portable_body_in_f64() {
    let sizes =
        [(1, 3, 2), (2, 16, 5), (15, 8, 64), (17, 24, 65), (33, 33, 300), (130, 40, 257), (300, 9, 1000)];
    for (n, d_model, vocab) in sizes {
        for spec in [LogitSpec::default(), capped(0.5), capped(30.0)] {
            let case = Case { spec, ..case(n, d_model, vocab) };
            for ((found, expected), name) in case.run().iter().zip(&case.expected()).zip(NAMES) {
                let what = format!("{name}, {n} rows, width {d_model}, {vocab} words, {spec:?}");
                assert_close(found, expected, 3e-6, &what);
            }
        }
    }
}

/// On each unit and on none. Slopes that lie next to the middle of two bfloat16 may round either way.
#[test]
fn rounded_operands_agree_with_the_portable_body() {
    for (unit, sizes) in settings().into_iter().flat_map(|unit| {
        [(1, 3, 2), (2, 16, 5), (17, 24, 65), (33, 33, 300), (130, 40, 257), (300, 9, 1000)]
            .map(|sizes| (unit, sizes))
    }) {
        let (n, d_model, vocab) = sizes;
        let spec = LogitSpec { precision: Precision::Bf16, softcap: None };
        let case = Case { spec, ..case(n, d_model, vocab) };
        let tolerances = [3e-6, 3e-6, 2e-3, 2e-3];
        let pairs = on(unit, || case.run()).into_iter().zip(case.expected());
        for (((found, expected), name), tolerance) in pairs.zip(NAMES).zip(tolerances) {
            let on = unit.map_or("no unit", |unit| unit.name);
            assert_close(&found, &expected, tolerance, &format!("{name}, {sizes:?} on {on}"));
        }
    }
}

/// What may multiply rounded operands.
pub(super) fn settings() -> Vec<Option<&'static Unit>> {
    std::iter::once(None).chain(units().into_iter().map(Some)).collect()
}

/// Alone, among 2, 7 or 130, at any place: a row's log-probability and gradient are the same bits.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let plain = LogitSpec::default();
    for (vocab, spec) in
        [(40, plain), (64, plain), (129, plain), (300, plain), (64, capped(2.0)), (300, capped(2.0))]
    {
        assert_rows_stand_alone(&Case { spec, ..case(300, 576, vocab) });
    }
}

/// The same of rounded operands, on each unit and on none.
#[test]
fn a_row_of_rounded_operands_does_not_depend_on_the_others() {
    let spec = LogitSpec { precision: Precision::Bf16, softcap: None };
    for unit in settings() {
        on(unit, || assert_rows_stand_alone(&Case { spec, ..case(300, 72, 300) }));
    }
}

fn assert_rows_stand_alone(all: &Case) {
    let expected = all.run();
    for range in [0..1, 5..6, 299..300, 0..2, 3..10, 150..280] {
        let part = Case {
            hidden: rows(&all.hidden, range.clone()),
            head: all.head.clone(),
            targets: all.targets[range.clone()].to_vec(),
            grad: rows(&all.grad, range.clone()),
            spec: all.spec,
        };
        for ((found, expected), name) in part.run().iter().zip(&expected).zip(NAMES).take(3) {
            assert_eq!(
                bits(found),
                bits(&rows(expected, range.clone())),
                "{name} of {range:?}, {:?}",
                all.spec
            );
        }
    }
}

#[test]
fn threads_change_nothing() {
    let exact = Case { spec: capped(3.0), ..case(270, 48, 1500) };
    assert_same_on_any_number_of_threads(|| exact.run());
    let spec = LogitSpec { precision: Precision::Bf16, softcap: None };
    let rounded = Case { spec, ..case(270, 48, 1500) };
    for unit in settings() {
        assert_same_on_any_number_of_threads(|| on(unit, || rounded.run()));
    }
}

/// Only what is asked for is computed, and it is the same.
#[test]
fn a_frozen_head_has_no_gradient() {
    let case = case(20, 16, 200);
    let [_, log_sum_exp, dhidden, _]: [FlexTensor; 4] = case.run().try_into().unwrap();
    let saved = LogpsSaved {
        hidden: case.hidden.clone(),
        head: case.head.clone(),
        targets: ids(&case.targets),
        log_sum_exp,
        spec: case.spec,
    };
    let [found, none] = Flex::logps_backward(saved, case.grad.clone(), [true, false]);
    assert_eq!(bits(&found.unwrap()), bits(&dhidden));
    assert!(none.is_none());
}

/// Logits of ±1,000: the most likely word costs 0, the least likely 2,000, and no exponential overflows.
#[test]
fn large_logits_stay_finite() {
    let (hidden, head) = (matrix(&[1000.0, 1000.0], [2, 1]), matrix(&[1.0, -1.0], [2, 1]));
    let (logps, _) = Flex::logps_forward(hidden, head, ids(&[0, 1]), LogitSpec::default());
    assert_eq!(floats(&logps), [0.0, -2000.0]);
}

#[test]
fn nan_stays_in_its_row() {
    let mut values = numbers(20 * 8, 1);
    values[8 * 4 + 3] = f32::NAN;
    let case = Case { hidden: matrix(&values, [20, 8]), spec: capped(30.0), ..case(20, 8, 300) };
    let [logps, _, dhidden, _]: [FlexTensor; 4] = case.run().try_into().unwrap();
    let nan_rows = |values: Vec<f32>, width: usize| -> Vec<usize> {
        values
            .chunks(width)
            .enumerate()
            .filter(|(_, row)| row.iter().any(|x| x.is_nan()))
            .map(|(i, _)| i)
            .collect()
    };
    assert_eq!(nan_rows(floats(&logps), 1), [4]);
    assert_eq!(nan_rows(floats(&dhidden), 8), [4]);
}

#[test]
#[should_panic(expected = "5 is not one of 5 rows")]
fn a_target_outside_the_vocabulary_is_refused() {
    Flex::logps_forward(random([1, 4], 1), random([5, 4], 2), ids(&[5]), LogitSpec::default());
}

#[test]
fn no_rows_give_no_logps() {
    let none = case(0, 4, 10);
    assert_eq!(floats(&none.run()[0]), [0.0; 0]);
    assert_eq!(floats(&none.run()[3]), [0.0; 40]);
}

/// The sum of squares agrees with that of the portable body in f64, and what is beside it is what it is without it, to the
/// last bit.
#[test]
fn sums_of_squares_agree_with_the_portable_body_in_f64() {
    for (n, d_model, vocab) in [(1, 3, 2), (15, 8, 64), (17, 24, 65), (130, 40, 257), (300, 9, 1000)] {
        for spec in [LogitSpec::default(), capped(0.5)] {
            let Case { hidden, head, targets, .. } = case(n, d_model, vocab);
            let found = Flex::logps_squares_forward(hidden.clone(), head.clone(), ids(&targets), spec);
            let expected = portable::logps::forward_with_squares::<Flex>(
                wide(&hidden),
                wide(&head),
                ids(&targets),
                spec,
            );
            let what = format!("{n} rows, width {d_model}, {vocab} words, {spec:?}");
            assert_close(&found.log_sum_squares.unwrap(), &expected.log_sum_squares.unwrap(), 3e-6, &what);
            let (logps, log_sum_exp) = Flex::logps_forward(hidden, head, ids(&targets), spec);
            assert_eq!(bits(&found.logps), bits(&logps), "{what}");
            assert_eq!(bits(&found.log_sum_exp), bits(&log_sum_exp), "{what}");
        }
    }
}
