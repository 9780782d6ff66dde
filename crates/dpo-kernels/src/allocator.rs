//! What the binary's allocator does with memory that is freed.

/// `mi_option_purge_delay` of `mimalloc.h`, in milliseconds; the bindings do not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// The delay that is none: nothing is given back.
const NEVER: std::ffi::c_long = -1;

/// Lets mimalloc keep what is freed for the next step, which needs as much again: memory that comes back from the system
/// costs a page fault every 4 KiB, on one thread.
///
/// The environment's `MIMALLOC_PURGE_DELAY` is left alone. To be called before there are other threads, by a binary whose
/// global allocator is mimalloc.
pub fn keep_freed_memory() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        #[allow(unsafe_code)]
        // SAFETY: the option exists, any number is a value of it, and the caller has no other threads yet.
        unsafe {
            libmimalloc_sys::mi_option_set(PURGE_DELAY, NEVER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the option is that of its default of a second.
    #[test]
    fn the_option_is_the_delay() {
        let delay = || {
            #[allow(unsafe_code)]
            // SAFETY: reads one number that only this test writes.
            unsafe {
                libmimalloc_sys::mi_option_get(PURGE_DELAY)
            }
        };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(delay(), 1000);
            keep_freed_memory();
            assert_eq!(delay(), NEVER);
        }
    }
}
