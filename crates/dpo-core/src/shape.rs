//! A check of shapes that names what it looked at.

/// Panics, naming the tensor, unless its shape is the one given: a wrong shape is a mistake of the program.
macro_rules! assert_shape {
    ($tensor:expr, $shape:expr) => {
        assert_eq!($tensor.dims(), $shape, "shape of `{}`", stringify!($tensor))
    };
}
