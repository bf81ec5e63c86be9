//! Every order in which threads can go on, up to a number of detours.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::collections::VecDeque;

/// The straight way: a thread goes on as long as it can, and then the next in
/// order of creation does. Where it is left there is a *detour*. All schedules
/// of at most so many detours are taken in turn, depth first; `usize::MAX`: all
/// schedules there are.
pub struct Explore {
    detours: usize,
    /// The choices that are left where there was one, on the way to here; the
    /// first is the one that is taken.
    choices: Vec<VecDeque<TaskId>>,
    depth: usize,
    left: usize,
    began: bool,
}

impl Explore {
    pub fn new(detours: usize) -> Self {
        Explore {
            detours,
            choices: Vec::new(),
            depth: 0,
            left: detours,
            began: false,
        }
    }
}

impl Scheduler for Explore {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.began {
            // Back to the last choice of which not all is tried.
            while self.choices.last().is_some_and(|left| left.len() == 1) {
                self.choices.pop();
            }
            self.choices.last_mut()?.pop_front();
        }
        self.began = true;
        self.depth = 0;
        self.left = self.detours;
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        yields: bool,
    ) -> Option<TaskId> {
        let ids = || runnable.iter().map(|task| task.id());
        let straight = ids()
            .find(|&id| Some(id) == current && !yields)
            .or_else(|| ids().find(|&id| Some(id) > current))
            .or_else(|| ids().next())?;
        if self.left == 0 || runnable.len() == 1 {
            return Some(straight);
        }
        if self.depth == self.choices.len() {
            let others = ids().filter(|&id| id != straight);
            self.choices
                .push(std::iter::once(straight).chain(others).collect());
        }
        let chosen = *self.choices[self.depth].front()?;
        self.depth += 1;
        if chosen != straight {
            self.left -= 1;
        }
        Some(chosen)
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("nothing here is random")
    }
}
