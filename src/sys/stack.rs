//! Thread stacks, all of a group's from one mapping.
//!
//! The C library maps, guards and unmaps each stack separately, and caches only
//! 40 MiB of them, which is five of the default size. A slab costs one mapping
//! however many stacks it has, and the slab that was freed last is cached: groups
//! that run one after another map nothing, and their stacks are in memory already.
//!
//! Where a slab cannot be had, the C library makes the stacks.

use super::memory::try_box;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
#[cfg(target_os = "linux")]
use crate::sync::unmodelled::{AtomicU8, Ordering::Relaxed};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

/// The most stacks that a cached slab may have: for each it keeps [`CACHED_TOP`]
/// bytes of memory.
const CACHED: usize = 1024;

/// The largest stack that comes from a slab, in bytes. With MAP_NORESERVE the kernel
/// grants mappings that no machine has the memory for; the C library's larger stacks
/// are refused instead.
const LARGEST: usize = 1 << 30;

/// The largest slab that is cached where address space is limited, in bytes: as much
/// as the C library caches.
const CACHED_BYTES: usize = 40 << 20;

/// How many bytes of memory a cached stack keeps, at its top.
const CACHED_TOP: usize = 16 << 10;

/// The slab that was freed last. The lock is only tried: in a child of a fork it may
/// be held for ever, by a thread that exists in the parent alone.
static CACHE: Mutex<Option<Slab>> = Mutex::new(None);

/// Stacks of one size, each above a guard page.
struct Slab {
    base: *mut c_void,
    page: usize,
    /// The size of a stack without its guard page, in bytes.
    size: usize,
    count: usize,
    /// How many stacks were handed out since the slab was mapped or left the cache.
    used: usize,
    /// Whether the slab is cached when its last stack is dropped.
    kept: bool,
}

// SAFETY: the slab owns the mapping, which may be used from any thread.
unsafe impl Send for Slab {}
// SAFETY: as above; a shared reference gives away addresses only.
unsafe impl Sync for Slab {}

impl Slab {
    fn map(size: usize, count: usize) -> Option<Slab> {
        // SAFETY: sysconf takes no pointers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        let size = size.checked_next_multiple_of(page)?;
        let length = size.checked_add(page)?.checked_mul(count)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        #[cfg(target_os = "linux")]
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        #[cfg(not(target_os = "linux"))]
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let base = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        let slab = Slab {
            base,
            page,
            size,
            count,
            used: 0,
            kept: count <= CACHED && (length <= CACHED_BYTES || !space_is_counted()),
        };
        // SAFETY: advice about the mapping. With huge pages each stack would take
        // 2 MiB of memory, of which an actor uses 8 KiB.
        #[cfg(target_os = "linux")]
        unsafe {
            libc::madvise(base, length, libc::MADV_NOHUGEPAGE);
        }
        (0..count).all(|index| slab.guard(index)).then_some(slab)
    }

    /// Where stack `index` begins; its guard lies below.
    fn stack(&self, index: usize) -> *mut c_void {
        let offset = index * (self.page + self.size) + self.page;
        self.base.wrapping_byte_add(offset)
    }

    /// Makes the page below stack `index` a guard.
    fn guard(&self, index: usize) -> bool {
        /// Since Linux 6.13. Unlike mprotect it does not split the mapping: a process
        /// may have 65,530 of them.
        #[cfg(target_os = "linux")]
        const MADV_GUARD_INSTALL: libc::c_int = 102;
        let guard = self.stack(index).wrapping_byte_sub(self.page);
        // SAFETY: the page is within the mapping, and part of no stack.
        unsafe {
            #[cfg(target_os = "linux")]
            if libc::madvise(guard, self.page, MADV_GUARD_INSTALL) == 0 {
                return true;
            }
            libc::mprotect(guard, self.page, libc::PROT_NONE) == 0
        }
    }

    /// Returns the memory of each used stack to the system, but for its top. False:
    /// the system refuses, since the memory is locked (mlockall).
    fn trim(&mut self) -> bool {
        let used = std::mem::take(&mut self.used);
        self.size <= CACHED_TOP
            || (0..used).all(|index| {
                // SAFETY: within a stack on which no thread runs any more.
                unsafe {
                    let rest = self.size - CACHED_TOP;
                    libc::madvise(self.stack(index), rest, libc::MADV_DONTNEED) == 0
                }
            })
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: the whole mapping; no thread runs on one of its stacks any more.
        unsafe {
            libc::munmap(self.base, (self.page + self.size) * self.count);
        }
    }
}

/// The kernel's overcommit mode, as the first byte of its file.
#[cfg(target_os = "linux")]
fn overcommit() -> Option<u8> {
    let mut mode = [0u8];
    // SAFETY: the path is a C string, and the buffer has one byte. `std::fs::File`
    // would allocate the path, and abort without memory.
    let read = unsafe {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let fd = libc::open(c"/proc/sys/vm/overcommit_memory".as_ptr(), flags);
        if fd < 0 {
            return None;
        }
        let read = libc::read(fd, mode.as_mut_ptr().cast(), 1);
        libc::close(fd);
        read
    };
    (read == 1).then_some(mode[0])
}

/// Whether address space is limited: by a resource limit, or by a kernel that grants
/// no more of it than there is memory. The program then lacks what a cached slab has.
fn space_is_counted() -> bool {
    #[cfg(target_os = "linux")]
    {
        /// 0: not read yet. Not a `OnceLock`: a child of a fork could wait for ever
        /// for a thread that reads the file in the parent. Two threads at once read
        /// the same.
        static MODE: AtomicU8 = AtomicU8::new(0);
        let mut mode = MODE.load(Relaxed);
        if mode == 0 {
            mode = overcommit().unwrap_or(b'0');
            MODE.store(mode, Relaxed);
        }
        if mode == b'2' {
            return true;
        }
    }
    [libc::RLIMIT_AS, libc::RLIMIT_DATA]
        .into_iter()
        .any(|resource| {
            let mut limit = MaybeUninit::<libc::rlimit>::uninit();
            // SAFETY: the limit is read only if the call succeeded and wrote it.
            unsafe {
                libc::getrlimit(resource, limit.as_mut_ptr()) == 0
                    && limit.assume_init().rlim_cur != libc::RLIM_INFINITY
            }
        })
}

/// A slab with stacks in use. It is cached, or unmapped, when the last of them is
/// dropped.
struct InUse {
    slab: Slab,
    stacks: AtomicUsize,
}

/// A stack for one thread, to be dropped when that thread has ended.
pub struct Stack {
    /// Shared with the slab's other stacks; freed with the last of them.
    slab: *mut InUse,
    /// Its lowest address.
    pub lowest: *mut c_void,
    /// In bytes.
    pub size: usize,
}

// SAFETY: a stack is two addresses, and what they point to may be used from any thread.
unsafe impl Send for Stack {}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the slab lives as long as one of its stacks does.
        if unsafe { &*self.slab }.stacks.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        // SAFETY: made by `stacks`, and this was the last stack.
        let InUse { mut slab, .. } = *unsafe { Box::from_raw(self.slab) };
        if slab.kept && slab.trim() {
            // The slab that was cached before is unmapped after the unlock.
            let _before = CACHE.try_lock().map(|mut cache| cache.replace(slab));
        }
    }
}

/// The stacks of a slab that are not handed out yet.
pub struct Stacks {
    slab: *mut InUse,
    next: *mut c_void,
    step: usize,
    size: usize,
    left: usize,
}

impl Iterator for Stacks {
    type Item = Stack;

    fn next(&mut self) -> Option<Stack> {
        self.left = self.left.checked_sub(1)?;
        let lowest = self.next;
        self.next = lowest.wrapping_byte_add(self.step);
        Some(Stack {
            slab: self.slab,
            lowest,
            size: self.size,
        })
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // The slab's count includes these stacks.
        self.for_each(drop);
    }
}

/// `count` stacks of at least `size` bytes. `None`: no slab can be had, so the C library
/// is to make the stacks.
pub fn stacks(size: usize, count: usize) -> Option<Stacks> {
    if size > LARGEST || count == 0 {
        return None;
    }
    let fits =
        |slab: &mut Slab| slab.size >= size && slab.size < size + slab.page && slab.count >= count;
    let cached = CACHE.try_lock().and_then(|mut cache| cache.take_if(fits));
    let mut slab = cached.or_else(|| Slab::map(size, count))?;
    slab.used = count;
    let (next, step, size) = (slab.stack(0), slab.page + slab.size, slab.size);
    let stacks = AtomicUsize::new(count);
    let slab = Box::into_raw(try_box(InUse { slab, stacks })?);
    Some(Stacks {
        slab,
        next,
        step,
        size,
        left: count,
    })
}
