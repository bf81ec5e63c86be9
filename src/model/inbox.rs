//! The inbox alone: posts from several threads against a driver that takes them
//! and goes to sleep.

use super::{Depth, check};
use crate::error::Error;
use crate::machine::{Awaited, Outcome};
use crate::run::inbox::{Caller, Inbox, Post};
use crate::sys::futex::Word;
use shuttle::thread::spawn;
use std::sync::Arc;

#[derive(Default)]
struct Party {
    inbox: Inbox,
    wakes: Word,
}

impl Party {
    /// So many actors, whose returns may be posted.
    fn of(actors: usize) -> Arc<Party> {
        let party = Party::default();
        party.inbox.make(actors, false).unwrap();
        for index in 0..actors {
            party.inbox.arm(Post::Execute(index), Caller::Own);
            party.inbox.arm(Post::Interrupt(index), Caller::Own);
        }
        party.inbox.expect(2 * actors);
        Arc::new(party)
    }

    fn post(&self, post: Post) -> Result<(), Error> {
        let outcome = Outcome::new(code(post), &format!("{post:?}"));
        if self.inbox.post(post, Caller::Own, outcome)? {
            self.wakes.add(1);
        }
        Ok(())
    }

    /// Takes what is posted, and sleeps as the driver does, until so many posts
    /// are here.
    fn take(&self, awaited: Awaited, posts: usize) -> Vec<Post> {
        let mut taken = Vec::new();
        loop {
            let seen = self.wakes.get();
            for (post, outcome, _) in self.inbox.take() {
                assert_eq!(outcome.code, code(post));
                assert_eq!(outcome.message.to_str(), Ok(&format!("{post:?}")[..]));
                taken.push(post);
            }
            if taken.len() == posts {
                return taken;
            }
            if self.inbox.wait_for(awaited) {
                self.wakes.wait_past(seen, None);
            }
        }
    }
}

fn code(post: Post) -> i32 {
    match post {
        Post::Execute(index) => 20 + index as i32,
        _ => 0,
    }
}

const DEPTH: Depth = Depth {
    detours: [2, 4],
    random: 20_000,
};

/// Of two threads only.
const DEEPER: Depth = Depth {
    detours: [4, 6],
    random: 20_000,
};

#[test]
fn no_post_is_lost_and_each_thread_s_are_in_order() {
    check("inbox: 2 posts, 1 post, driver", DEPTH, || {
        let party = Party::of(2);
        let (one, other) = (party.clone(), party.clone());
        let one = spawn(move || {
            one.post(Post::Execute(0)).unwrap();
            one.post(Post::Interrupt(0)).unwrap();
        });
        let other = spawn(move || other.post(Post::Execute(1)).unwrap());
        let taken = party.take(Awaited::Any, 3);
        let at = |post| taken.iter().position(|&taken| taken == post);
        assert!(at(Post::Execute(1)).is_some());
        assert!(at(Post::Execute(0)) < at(Post::Interrupt(0)));
        one.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn the_driver_wakes_for_the_last() {
    check("inbox: 4 posts, driver awaits the last", DEPTH, || {
        let party = Party::of(2);
        let threads = [0, 1].map(|index| {
            let party = party.clone();
            spawn(move || {
                party.post(Post::Execute(index)).unwrap();
                party.post(Post::Interrupt(index)).unwrap();
            })
        });
        assert_eq!(party.take(Awaited::Last, 4).len(), 4);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn the_driver_wakes_for_the_one() {
    check("inbox: 2 posts, driver awaits one", DEEPER, || {
        let party = Party::of(2);
        let other = party.clone();
        let posts = spawn(move || {
            other.post(Post::Execute(1)).unwrap();
            other.post(Post::Execute(0)).unwrap();
        });
        assert_eq!(
            party.take(Awaited::Execute(0), 2),
            [Post::Execute(1), Post::Execute(0)]
        );
        posts.join().unwrap();
    });
}

#[test]
fn of_two_the_same_one_is_taken() {
    check("inbox: 2 the same, driver", DEEPER, || {
        let party = Party::of(1);
        let other = party.clone();
        let posts = spawn(move || other.post(Post::Execute(0)));
        let mine = party.post(Post::Execute(0));
        assert_eq!(party.take(Awaited::Any, 1), [Post::Execute(0)]);
        let theirs = posts.join().unwrap();
        assert!(matches!(
            (mine, theirs),
            (Ok(()), Err(Error::State)) | (Err(Error::State), Ok(()))
        ));
        assert_eq!(party.inbox.take().count(), 0);
    });
}
