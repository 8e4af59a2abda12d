//! Everything that touches the caller's memory through a pointer: each pointer is checked before it is used, and
//! each result is written in one step at the end. What cannot be checked, that non-null memory is really there, is
//! the caller's promise.

use std::mem::{align_of, size_of};

use crate::{Error, Op, Result, Status};

/// Larger struct_size values are garbage, not a newer caller: no struct comes near this, and its bytes would be
/// read on trust.
const MAX_STRUCT_BYTES: usize = 4096;

/// A struct that starts with its own size, so that it can grow.
///
/// # Safety
/// The type is `repr(C)`, its first field is `struct_size: u32`, and every bit pattern is a value of it.
pub(super) unsafe trait Versioned: Copy {
    const NAME: &'static str;
    /// Size of the struct in the first version of the ABI: nobody can have been built against a smaller one.
    const FIRST_BYTES: usize;
}

/// An argument that cannot be used. The boundary fills in the operation and the partition.
pub(super) fn invalid(message: String) -> Error {
    Error::new(Status::InvalidArgument, Op::None, message)
}

fn check_pointer<T>(pointer: *const T, name: &str) -> Result<()> {
    if pointer.is_null() {
        return Err(invalid(format!("{name} is a null pointer; pass the address of a {} there", short_name::<T>())));
    }
    if pointer as usize % align_of::<T>() != 0 {
        return Err(invalid(format!(
            "{name} is not aligned to {} bytes; pass the address of a variable of its type",
            align_of::<T>()
        )));
    }
    Ok(())
}

fn short_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    full.rsplit("::").next().unwrap_or(full)
}

/// Borrows `count` values. Null is allowed if `count` is 0.
///
/// # Safety
/// A non-null `pointer` has `count` readable values, unchanged for `'a`.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check_length::<T>(count, name)?;
    check_pointer(pointer, name)?;
    // SAFETY: not null, aligned, at most isize::MAX bytes; the caller promises that they are there.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

fn check_length<T>(count: usize, name: &str) -> Result<()> {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(invalid(format!("{name} is said to hold {count} elements, more than memory can; pass its real size"))),
    }
}

/// Reads a plain input struct.
///
/// # Safety
/// A non-null `pointer` has a readable `T`, of which every bit pattern is a value.
pub(super) unsafe fn read<T: Copy>(pointer: *const T, name: &str) -> Result<T> {
    check_pointer(pointer, name)?;
    // SAFETY: not null and aligned; the caller promises that it is there.
    Ok(unsafe { pointer.read() })
}

/// Reads an input struct of any version: a newer caller's unknown fields must be zero.
///
/// # Safety
/// A non-null `pointer` has as many readable bytes as its `struct_size` says.
pub(super) unsafe fn read_struct<T: Versioned>(pointer: *const T, name: &str) -> Result<T> {
    // SAFETY: the caller's promise covers the first field.
    let given = unsafe { struct_bytes(pointer, name) }?;
    // SAFETY: struct_bytes found the pointer good and the size below MAX_STRUCT_BYTES; the caller promises `given`
    // bytes.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), given) };
    let known = given.min(size_of::<T>());
    if bytes[known..].iter().any(|&b| b != 0) {
        return Err(invalid(format!(
            "{name} has fields set that this version of the library does not know ({given} bytes, {known} are known); \
             set them to zero or use a newer library"
        )));
    }
    // SAFETY: all zeros is a value of a Versioned type.
    let mut value: T = unsafe { std::mem::zeroed() };
    // SAFETY: both sides have at least `known` bytes, and a local variable does not overlap the caller's memory.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), std::ptr::addr_of_mut!(value).cast::<u8>(), known) };
    Ok(value)
}

/// Checks a versioned struct's pointer and size; returns the size that its owner knows.
///
/// # Safety
/// A non-null `pointer` has a readable `u32`.
unsafe fn struct_bytes<T: Versioned>(pointer: *const T, name: &str) -> Result<usize> {
    check_pointer(pointer, name)?;
    // SAFETY: not null, and aligned for T, which starts with a u32.
    let given = unsafe { pointer.cast::<u32>().read() } as usize;
    if given < T::FIRST_BYTES || given > MAX_STRUCT_BYTES {
        return Err(invalid(format!(
            "{name}->struct_size is {given}; set it to sizeof({}) before the call, {} in this version",
            T::NAME,
            size_of::<T>()
        )));
    }
    Ok(given)
}

/// The place for a plain output, checked before the work is done so that a bad pointer changes nothing.
pub(super) struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// # Safety
    /// A non-null `pointer` has room for a `T` until `write`.
    pub(super) unsafe fn new(pointer: *mut T, name: &str) -> Result<Out<T>> {
        check_pointer(pointer, name)?;
        Ok(Out(pointer))
    }

    pub(super) fn write(self, value: T) {
        // SAFETY: checked in `new`, whose caller promised the room.
        unsafe { self.0.write(value) };
    }
}

/// The place for an array of outputs.
pub(super) struct OutSlice<T> {
    pointer: *mut T,
    capacity: usize,
}

impl<T: Copy> OutSlice<T> {
    /// Null is allowed if `capacity` is 0.
    ///
    /// # Safety
    /// A non-null `pointer` has room for `capacity` values for as long as this is used.
    pub(super) unsafe fn new(pointer: *mut T, capacity: usize, name: &str) -> Result<OutSlice<T>> {
        if capacity != 0 {
            check_length::<T>(capacity, name)?;
            check_pointer(pointer, name)?;
        }
        Ok(OutSlice { pointer, capacity })
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Copies `values` to `position`; false, and nothing written, if they do not fit.
    pub(super) fn write(&mut self, position: usize, values: &[T]) -> bool {
        match position.checked_add(values.len()) {
            Some(end) if end <= self.capacity => {}
            _ => return false,
        }
        if !values.is_empty() {
            // SAFETY: the range is inside the room promised to `new`; `values` is the library's own memory, so they
            // do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.pointer.add(position), values.len()) };
        }
        true
    }
}

/// The place for an output struct that starts with its size.
pub(super) struct OutStruct<T> {
    pointer: *mut T,
    bytes: usize,
}

impl<T: Versioned> OutStruct<T> {
    /// # Safety
    /// A non-null `pointer` has as many writable bytes as its `struct_size` says, until `write`.
    pub(super) unsafe fn new(pointer: *mut T, name: &str) -> Result<OutStruct<T>> {
        // SAFETY: the caller's promise covers the first field.
        let given = unsafe { struct_bytes(pointer.cast_const(), name) }?;
        Ok(OutStruct { pointer, bytes: given.min(size_of::<T>()) })
    }

    /// Writes the fields that caller and library both know; `struct_size` stays as the caller set it.
    pub(super) fn write(&self, value: &T) {
        const SIZE_FIELD: usize = size_of::<u32>();
        let from = (value as *const T).cast::<u8>();
        let to = self.pointer.cast::<u8>();
        // SAFETY: `bytes` is at most size_of::<T>() and at most what the caller of `new` promised; at least
        // FIRST_BYTES, so beyond SIZE_FIELD.
        unsafe { std::ptr::copy_nonoverlapping(from.add(SIZE_FIELD), to.add(SIZE_FIELD), self.bytes - SIZE_FIELD) };
    }
}
