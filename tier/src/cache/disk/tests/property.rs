//! Whatever is done, and wherever it is broken off: what is found is right.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put(u32, usize),
    Get(u32),
    Purge(u32),
    PurgeAll,
    Renew(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..12_u32;
    prop_oneof![
        12 => (n(), 0..9000_usize).prop_map(|(n, length)| Step::Put(n, length)),
        6 => n().prop_map(Step::Get),
        2 => n().prop_map(Step::Purge),
        1 => Just(Step::PurgeAll),
        1 => n().prop_map(Step::Renew),
        1 => Just(Step::Restart),
    ]
}

/// What must hold: the version last written, or an older one after a crash; never one that was
/// purged before it was said to be.
#[derive(Default)]
struct Model {
    versions: u32,
    /// Of each object, the oldest version that may be found.
    least: [u32; 12],
    newest: [u32; 12],
}

impl Model {
    async fn step(&mut self, disks: &Disks, step: &Step) -> bool {
        match step {
            Step::Put(n, length) => {
                self.versions += 1;
                self.newest[*n as usize] = self.versions;
                put(disks, *n, self.versions, *length).await;
            }
            Step::Get(n) => self.check(disks, *n).await,
            Step::Purge(n) => {
                if disks.forget(Some(key(*n))).await.is_ok() {
                    self.least[*n as usize] = self.versions + 1;
                }
            }
            Step::PurgeAll => {
                if disks.forget(None).await.is_ok() {
                    self.least = [self.versions + 1; 12];
                }
            }
            Step::Renew(n) => {
                let meta = match find(disks, *n).await {
                    Some(stream) => stream.meta().to_vec(),
                    None => return false,
                };
                disks
                    .of(&key(*n))
                    .unwrap()
                    .renew(&key(*n), meta, |_, _| true);
            }
            Step::Restart => return true,
        }
        false
    }

    async fn check(&self, disks: &Disks, n: u32) {
        if let Some(found) = version(disks, n).await {
            let (least, newest) = (self.least[n as usize], self.newest[n as usize]);
            assert!(
                (least..=newest).contains(&found),
                "object {n}: {found} is not of {least}..={newest}"
            );
        }
    }

    async fn check_all(&self, disks: &Disks) {
        for n in 0..12 {
            self.check(disks, n).await;
        }
    }
}

/// Does the steps until the disk dies at a write, loses some of what was not synced, and is opened
/// again; then the steps once more on what is left.
async fn live(steps: Vec<Step>, dies_after: usize, mut fate: Vec<u16>, power: bool) {
    let mut memory = Memory::default();
    let mut model = Model::default();
    let dying = Faults {
        dies_after: Some(dies_after),
        ..Faults::default()
    };
    memory.fail(dying);
    for _ in 0..2 {
        let mut disks = open_as(&memory, 16 * 1024, 5).await;
        model.check_all(&disks).await;
        for step in &steps {
            if model.step(&disks, step).await {
                disks.close().await;
                disks = open_as(&memory, 16 * 1024, 5).await;
            }
        }
        model.check_all(&disks).await;
        memory = if power {
            memory.unplugged(|length| match fate.pop() {
                None | Some(0..20_000) => length,
                Some(20_000..40_000) => 0,
                Some(some) => usize::from(some) % length.max(1),
            })
        } else {
            memory.killed()
        };
    }
    let disks = open_as(&memory, 16 * 1024, 5).await;
    model.check_all(&disks).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_wrong_is_found_whenever_the_process_or_the_power_ends(
        steps in vec(step(), 1..60),
        dies_after in 0..200_usize,
        fate in vec(any::<u16>(), 0..40),
        power in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(live(steps, dies_after, fate, power));
    }
}
