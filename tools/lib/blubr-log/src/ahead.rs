//! Makes things on another thread while those before them are used on this one.

use std::sync::mpsc::{channel, sync_channel};
use std::thread;

/// How many may wait to be used.
const AHEAD: usize = 2;

/// Gives `use_one` what `make` makes, in order, until that is `None` or an error. What was used goes back to `make`, which frees it
/// on the thread that it came from, or makes the next of it.
///
/// # Errors
/// The first error of `make`, once what it made before was used.
///
/// # Panics
/// When `make` does.
pub fn run<T: Send, E: Send>(
    mut make: impl FnMut(Option<T>) -> Result<Option<T>, E> + Send,
    mut use_one: impl FnMut(&mut T) -> Result<(), E>,
) -> Result<(), E> {
    let (give, made) = sync_channel(AHEAD);
    let (give_back, used) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let one = make(used.try_recv().ok());
                let is_last = !matches!(one, Ok(Some(_)));
                if give.send(one).is_err() || is_last {
                    break;
                }
            }
        });
        for one in made {
            let Some(mut one) = one? else { break };
            use_one(&mut one)?;
            // The thread may have ended.
            drop(give_back.send(one));
        }
        Ok(())
    })
}
