//! Thread stacks, all of a group's from one mapping.
//!
//! The C library maps, guards and unmaps each stack by itself, and keeps only
//! 40 MiB of them, which is five of the default size. A slab costs one mapping
//! however many stacks it has, and the last slab that came back is kept: a
//! group that runs again and again maps nothing, and its stacks are warm.
//!
//! Whatever fails here falls back to stacks of the C library's.

use super::memory::try_box;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
#[cfg(target_os = "linux")]
use crate::sync::unmodelled::{AtomicU8, Ordering::Relaxed};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

/// The most stacks that a slab in the cache has: it may hold on to [`CACHED_TOP`]
/// bytes of memory for each.
const CACHED: usize = 1024;

/// The largest stack that is made here. The mappings are not counted as memory
/// in use, so that the kernel would promise what no machine has.
const LARGEST: usize = 1 << 30;

/// The same in address space where that is counted: what the C library keeps.
const CACHED_BYTES: usize = 40 << 20;

/// What a stack in the cache keeps of its memory, at its top.
const CACHED_TOP: usize = 16 << 10;

/// The slab that came back last. Nobody waits for it: a child of a fork that
/// caught another thread at it does without.
static CACHE: Mutex<Option<Slab>> = Mutex::new(None);

/// Stacks of one size, each above a guard page.
struct Slab {
    base: *mut c_void,
    page: usize,
    /// Of a stack, without its guard.
    size: usize,
    count: usize,
    /// How many were handed out since the slab was taken.
    used: usize,
    /// Whether it goes into the cache when it comes back.
    kept: bool,
}

// SAFETY: the mapping is the slab's alone, and may be used from any thread.
unsafe impl Send for Slab {}
// SAFETY: as above; sharing it gives away addresses only.
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
        // SAFETY: a mapping of our own, at no fixed address.
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
        // SAFETY: advice about the mapping. A huge page a stack would be 2 MiB
        // of memory for 8 KiB of use.
        #[cfg(target_os = "linux")]
        unsafe {
            libc::madvise(base, length, libc::MADV_NOHUGEPAGE);
        }
        (0..count).all(|index| slab.guard(index)).then_some(slab)
    }

    /// Where stack `index` begins; its guard lies below.
    fn stack(&self, index: usize) -> *mut c_void {
        let offset = index * (self.page + self.size) + self.page;
        // The mapping is as long as `count` of these.
        self.base.wrapping_byte_add(offset)
    }

    /// Makes the page below stack `index` a guard.
    fn guard(&self, index: usize) -> bool {
        /// Since Linux 6.13; does not split the mapping, of which a process
        /// may have 65530 parts.
        #[cfg(target_os = "linux")]
        const MADV_GUARD_INSTALL: libc::c_int = 102;
        let guard = self.stack(index).wrapping_byte_sub(self.page);
        // SAFETY: the page is within the mapping, and nobody's stack.
        unsafe {
            #[cfg(target_os = "linux")]
            if libc::madvise(guard, self.page, MADV_GUARD_INSTALL) == 0 {
                return true;
            }
            libc::mprotect(guard, self.page, libc::PROT_NONE) == 0
        }
    }

    /// Gives back the memory below the top of each stack that was used; false
    /// where the system refuses, since it is locked (mlockall).
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
        // SAFETY: the whole mapping, in which nothing is used any more.
        unsafe {
            libc::munmap(self.base, (self.page + self.size) * self.count);
        }
    }
}

/// What the kernel promises of memory, as the first letter of a number.
#[cfg(target_os = "linux")]
fn overcommit() -> Option<u8> {
    let mut mode = [0u8];
    // SAFETY: the path is a C string, and the buffer as long as is said. No
    // `std::fs::File`, which would abort where there is no memory for the path.
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

/// Whether address space is scarce: there is a limit on it, or the kernel
/// promises no more of it than there is memory. What a slab in the cache has of
/// it, the program then lacks.
fn space_is_counted() -> bool {
    #[cfg(target_os = "linux")]
    {
        /// 0: not yet looked at. Who looks at the same time sees the same:
        /// nobody waits here, for a fork's sake.
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
            // SAFETY: the limit is written by the call, and read only if it was.
            unsafe {
                libc::getrlimit(resource, limit.as_mut_ptr()) == 0
                    && limit.assume_init().rlim_cur != libc::RLIM_INFINITY
            }
        })
}

/// A slab that threads run on. It goes into the cache when the last of their
/// stacks is dropped.
struct InUse {
    slab: Slab,
    stacks: AtomicUsize,
}

/// A stack that no other thread runs on. To be dropped when the thread is gone.
pub struct Stack {
    /// Shared with the slab's other stacks; the last one frees it.
    slab: *mut InUse,
    /// Where it begins.
    pub lowest: *mut c_void,
    /// In bytes.
    pub size: usize,
}

// SAFETY: addresses; what they point to may be used from any thread.
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
            // The one before is unmapped when the lock is free again.
            let _before = CACHE.try_lock().map(|mut cache| cache.replace(slab));
        }
    }
}

/// The stacks of a slab that nobody has taken yet.
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
        // The slab counts those that were not taken, too.
        self.for_each(drop);
    }
}

/// So many stacks of at least that size. `None`: the C library is to make them.
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
