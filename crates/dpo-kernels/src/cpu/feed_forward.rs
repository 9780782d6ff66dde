//! A gated feed-forward layer of bfloat16 operands, in as few passes over memory as its products take: what lies between two
//! products is made of 32 × 32 numbers while these are in cache, and goes on packed for the next one.

use burn::backend::{Flex, flex::FlexTensor};

use super::{
    activation::{both_slopes, gate_up},
    bf16::{Packed, SQUARE, Side, Square, TilePlaces, Unit},
    buffer::{Scattered, all_f32, contiguous, dims2, strided, tensor, values},
    gemm::Matrix,
    linear::Factor,
};
use crate::{
    Activation, FeedForwardSpec, portable,
    saved::{FeedForwardSaved, FeedForwardWeights},
};

/// Numbers of a square.
const NUMBERS: usize = SQUARE * SQUARE;

/// As [`FusedPrimitives::feed_forward`](crate::FusedPrimitives::feed_forward); what is kept lies in squares where there is a
/// unit for bfloat16.
pub(super) fn forward(
    x: FlexTensor,
    weights: FeedForwardWeights<Flex>,
    spec: FeedForwardSpec,
    is_kept: bool,
) -> (FlexTensor, Option<[FlexTensor; 2]>) {
    let Some(unit) = Unit::for_precision(spec.precision).filter(|_| Operands::are_f32(&x, &weights)) else {
        return portable::feed_forward::forward::<Flex>(x, weights, spec, is_kept);
    };
    let operands = Operands::new(x, weights);
    let inputs = operands.inputs(spec.activation);
    let (output, kept) = of_squares(unit, inputs, is_kept);
    let kept = kept.map(|kept| kept.map(|kept| tensor(kept, [inputs.n_squares(), NUMBERS])));
    (tensor(output, dims2(&operands.x)), kept)
}

/// As [`FusedPrimitives::feed_forward_backward`](crate::FusedPrimitives::feed_forward_backward).
pub(super) fn backward(
    saved: FeedForwardSaved<Flex>,
    grad: FlexTensor,
    wanted: [bool; 4],
) -> [Option<FlexTensor>; 4] {
    let is_f32 =
        Operands::are_f32(&saved.x, &saved.weights) && all_f32([&saved.kept[0], &saved.kept[1], &grad]);
    let Some(unit) = Unit::for_precision(saved.spec.precision).filter(|_| is_f32) else {
        return portable::feed_forward::backward::<Flex>(saved, grad, wanted);
    };
    let FeedForwardSaved { x, weights, kept, spec } = saved;
    let (operands, kept, grad) = (Operands::new(x, weights), kept.map(contiguous), strided(grad));
    let kept = kept.each_ref().map(values);
    let inputs = operands.inputs(spec.activation);
    let [dx, dgate, dup, ddown] = gradients(unit, inputs, kept, Factor::weight(&grad).matrix(), wanted);
    let like = |grad: Option<Vec<f32>>, operand| grad.map(|grad| tensor(grad, dims2(operand)));
    let [gate, up, down] = &operands.weights;
    [like(dx, &operands.x), like(dgate, gate), like(dup, up), like(ddown, down)]
}

/// What a layer is given, wherever rows and columns lie.
struct Operands {
    x: FlexTensor,
    weights: [FlexTensor; 3],
}

impl Operands {
    fn are_f32(x: &FlexTensor, FeedForwardWeights { gate, up, down }: &FeedForwardWeights<Flex>) -> bool {
        all_f32([x, gate, up, down])
    }

    fn new(x: FlexTensor, FeedForwardWeights { gate, up, down }: FeedForwardWeights<Flex>) -> Self {
        Self { x: strided(x), weights: [gate, up, down].map(strided) }
    }

    fn inputs(&self, activation: Activation) -> Inputs<'_> {
        let [gate, up, down] = self.weights.each_ref().map(|weight| Factor::weight(weight).matrix());
        Inputs { x: Factor::weight(&self.x).matrix(), gate, up, down, activation }
    }
}

/// What a layer is given, as `[rows, columns]`.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    /// `[n, d_model]`.
    x: Matrix<'a>,
    /// `[d_ff, d_model]`.
    gate: Matrix<'a>,
    /// `[d_ff, d_model]`.
    up: Matrix<'a>,
    /// `[d_model, d_ff]`.
    down: Matrix<'a>,
    activation: Activation,
}

impl Inputs<'_> {
    /// `[n, d_ff]`.
    fn inner_size(&self) -> [usize; 2] {
        [self.x.dims()[0], self.gate.dims()[0]]
    }

    fn n_columns(&self) -> usize {
        self.inner_size()[1].div_ceil(SQUARE)
    }

    /// Squares of what lies in the middle: strips of rows times strips of columns.
    fn n_squares(&self) -> usize {
        self.inner_size()[0].div_ceil(SQUARE) * self.n_columns()
    }
}

/// Products of the input with gate and up, `[n_squares, 32 · 32]` each, row of squares by row of squares.
type Kept = [Vec<f32>; 2];

/// Output, `[n, d_model]`, and what the backward pass reads if it is wanted.
fn of_squares(unit: &Unit, inputs: Inputs<'_>, is_kept: bool) -> (Vec<f32>, Option<Kept>) {
    let Inputs { x, gate, up, down, activation } = inputs;
    let operands = [(x, Side::Left), (gate.transposed(), Side::Right), (up.transposed(), Side::Right)];
    let operands = Packed::on_all_threads(&operands);
    let [x, gate, up] = operands.as_slice() else { unreachable!("as many as there were") };
    let n_kept = if is_kept { inputs.n_squares() } else { 0 };
    let mut kept = [(); 2].map(|()| Vec::<f32>::with_capacity(n_kept * NUMBERS));
    let mut inner = Packed::of_any(inputs.inner_size());
    {
        let memory = kept.each_mut().map(|kept| &mut kept.spare_capacity_mut()[..n_kept * NUMBERS]);
        let memory = memory.map(Scattered::new);
        let places = inner.places();
        unit.each_square(&[[x, gate], [x, up]], &|[strip, column], products| {
            let products: [&Square; 2] = [&products[0], &products[1]];
            let mut inner = Square::ZERO;
            gate_up(products.map(|product| &product.0[..]), activation, &mut inner.0);
            #[allow(unsafe_code)]
            // SAFETY: each place is handed over once.
            unsafe {
                if is_kept {
                    let place = (strip * inputs.n_columns() + column) * NUMBERS;
                    for (memory, product) in memory.iter().zip(products) {
                        memory.part(place..place + NUMBERS).write_copy_of_slice(&product.0);
                    }
                }
                places.fill([strip, column], matrix(&inner), Side::Left);
            }
        });
    }
    let kept = is_kept.then(|| {
        #[allow(unsafe_code)]
        // SAFETY: every square was handed over, and set.
        kept.map(|mut kept| unsafe {
            kept.set_len(n_kept * NUMBERS);
            kept
        })
    });
    drop(operands);
    let down = Packed::on_all_threads(&[(down.transposed(), Side::Right)]);
    (unit.product(&[[&inner, &down[0]]]), kept)
}

/// Gradients of the input and of gate, up and down, where wanted.
fn gradients(
    unit: &Unit,
    inputs: Inputs<'_>,
    kept: [&[f32]; 2],
    grad: Matrix<'_>,
    wanted: [bool; 4],
) -> [Option<Vec<f32>>; 4] {
    let Middle { slopes, turned, inner } = middle(unit, inputs, kept, grad, wanted);
    let Inputs { x, gate, up, .. } = inputs;
    let dx = slopes.map(|[dgate, dup]| {
        let weights = Packed::on_all_threads(&[(gate, Side::Right), (up, Side::Right)]);
        unit.product(&[[&dgate, &weights[0]], [&dup, &weights[1]]])
    });
    let x = turned.iter().any(Option::is_some).then(|| Packed::on_all_threads(&[(x, Side::Right)]));
    let [dgate, dup] = turned.map(|slopes| Some(unit.product(&[[&slopes?, &x.as_ref()?[0]]])));
    let ddown = inner.map(|inner| {
        let grad = Packed::on_all_threads(&[(grad.transposed(), Side::Left)]);
        unit.product(&[[&grad[0], &inner]])
    });
    [dx, dgate, dup, ddown]
}

/// What lies in the middle, going back: operands of the products that gradients are.
struct Middle {
    /// Of gate and up, `[n, d_ff]` on the left.
    slopes: Option<[Packed; 2]>,
    /// The same, `[d_ff, n]` on the left.
    turned: [Option<Packed>; 2],
    /// What went into `down`, `[n, d_ff]` on the right.
    inner: Option<Packed>,
}

fn middle(
    unit: &Unit,
    inputs: Inputs<'_>,
    kept: [&[f32]; 2],
    grad: Matrix<'_>,
    [x_wanted, gate_wanted, up_wanted, down_wanted]: [bool; 4],
) -> Middle {
    assert!(kept.iter().all(|kept| kept.len() == inputs.n_squares() * NUMBERS), "what the forward pass kept");
    let operands = Packed::on_all_threads(&[(grad, Side::Left), (inputs.down, Side::Right)]);
    let size = inputs.inner_size();
    let [n, d_ff] = size;
    let mut middle = Middle {
        slopes: x_wanted.then(|| [(); 2].map(|()| Packed::of_any(size))),
        turned: [gate_wanted, up_wanted].map(|wanted| wanted.then(|| Packed::of_any([d_ff, n]))),
        inner: down_wanted.then(|| Packed::of_any([d_ff, n])),
    };
    {
        let slopes = middle.slopes.as_mut().map(|slopes| slopes.each_mut().map(Packed::places));
        let turned = middle.turned.each_mut().map(|turned| turned.as_mut().map(Packed::places));
        let inner = middle.inner.as_mut().map(Packed::places);
        unit.each_square(&[[&operands[0], &operands[1]]], &|[strip, column], dinner| {
            let place = (strip * inputs.n_columns() + column) * NUMBERS;
            let [gate, up] = kept.map(|kept| &kept[place..place + NUMBERS]);
            let mut squares = [Square::ZERO; 2];
            let [dgate, dup] = &mut squares;
            both_slopes([gate, up, &dinner[0].0], inputs.activation, &mut dgate.0, &mut dup.0);
            for (idx, square) in squares.iter().enumerate() {
                let square = matrix(square);
                fill_once(slopes.as_ref().map(|slopes| &slopes[idx]), [strip, column], square, Side::Left);
                fill_once(turned[idx].as_ref(), [column, strip], square.transposed(), Side::Left);
            }
            if inner.is_some() {
                let mut square = Square::ZERO;
                gate_up([gate, up], inputs.activation, &mut square.0);
                fill_once(inner.as_ref(), [column, strip], matrix(&square).transposed(), Side::Right);
            }
        });
    }
    middle
}

fn matrix(square: &Square) -> Matrix<'_> {
    Matrix::new(&square.0, [SQUARE; 2], SQUARE)
}

/// Packs a square to its place, where there are places.
fn fill_once(places: Option<&TilePlaces<'_>>, place: [usize; 2], square: Matrix<'_>, side: Side) {
    if let Some(places) = places {
        #[allow(unsafe_code)]
        // SAFETY: each square of the product is handed over once, and goes to one place.
        unsafe {
            places.fill(place, square, side);
        }
    }
}
