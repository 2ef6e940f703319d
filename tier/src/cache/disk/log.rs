//! Writing to a disk: records one after another, segment after segment, the oldest given up.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::file::File;
use super::format::{self, Entry, HEADER, Head, Key, Kind, Life, Preface};
use super::index::Place;
use super::queue::{Forget, Job, Object, Renewal};
use super::segment::{Chunks, Segment, read_footer, read_preface, sums, write_footer};
use super::volume::{Volume, head_of};

/// The end of the log, where records are added. There is one a disk.
pub(super) struct Log {
    pub(super) volume: Arc<Volume>,
    /// Oldest first.
    pub(super) sealed: VecDeque<Arc<Segment>>,
    /// Files that hold nothing that is needed, oldest first.
    pub(super) free: VecDeque<(u32, Arc<dyn File>)>,
    pub(super) generation: u64,
    /// The file system gave no room for another segment.
    pub(super) full: bool,
    open: Option<Open>,
    _lock: Box<dyn Send>,
}

/// The segment that is being written.
struct Open {
    segment: Arc<Segment>,
    at: u32,
    entries: Vec<Entry>,
    unsynced: u32,
}

impl Log {
    pub(super) fn new(volume: Arc<Volume>, lock: Box<dyn Send>) -> Self {
        Self {
            volume,
            sealed: VecDeque::new(),
            free: VecDeque::new(),
            generation: 1,
            full: false,
            open: None,
            _lock: lock,
        }
    }

    /// Does what the job says.
    ///
    /// # Errors
    /// When the disk does not take it; what was written of it counts for nothing.
    pub(super) fn perform(&mut self, job: &mut Job) -> io::Result<()> {
        match job {
            Job::Write(ticket, object) => self.write(*ticket, object),
            Job::Renew(key, renewal) => self.renew(key, renewal),
            Job::Forget(purges) => self.forget(purges),
        }
    }

    /// Makes sure that there is a segment to write to.
    ///
    /// # Errors
    /// When the disk takes nothing.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        match self.open {
            Some(_) => Ok(()),
            None => self.roll(),
        }
    }

    /// Ends the open segment with its footer.
    ///
    /// # Errors
    /// When the disk does not take it; its records are found one by one at the next start.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        self.sealed.push_back(Arc::clone(&open.segment));
        write_footer(&open.segment, &open.entries, self.volume.shape.segment)
    }

    fn write(&mut self, ticket: u64, object: &Object) -> io::Result<()> {
        let volume = Arc::clone(&self.volume);
        let mut place = Ok(None);
        if volume.queue.is_current(ticket, &object.key) {
            place = self.append_object(object);
        }
        let written = place.as_ref().copied().unwrap_or(None);
        volume.queue.written(ticket, object, written, &volume.index);
        if written.is_some() {
            volume.figures.written.fetch_add(1, Ordering::Relaxed);
        }
        place.map(drop)
    }

    fn append_object(&mut self, object: &Object) -> io::Result<Option<Place>> {
        let Some(head) = head_of(object) else {
            return Ok(None);
        };
        let preface = Preface {
            head,
            meta: object.meta.clone(),
            sums: sums(object),
        };
        self.append(preface, |file, at| {
            file.write_pieces(&object.body, at)?;
            Ok(true)
        })
    }

    /// Copies an object with a new meta, if that is about it.
    fn renew(&mut self, key: &Key, renewal: &Renewal) -> io::Result<()> {
        let volume = Arc::clone(&self.volume);
        let from = volume.index.place(key);
        let Some((from, segment)) =
            from.and_then(|place| Some((place, volume.segment(place.slot)?)))
        else {
            return Ok(());
        };
        if let Some(to) = self.copy(&segment, from, Some(renewal))? {
            volume.index.replace(key, from, to);
        }
        Ok(())
    }

    /// Notes purges, so that no restart brings back what they are about.
    fn forget(&mut self, purges: &mut [Forget]) -> io::Result<()> {
        let volume = Arc::clone(&self.volume);
        for purge in purges.iter() {
            let kind = match &purge.what {
                Some(key) => {
                    volume.index.remove(key);
                    Kind::Purged
                }
                None => {
                    volume.index.clear();
                    Kind::PurgedAll
                }
            };
            let head = Head {
                kind,
                key: purge.what.unwrap_or_default(),
                id: 0,
                meta_length: 0,
                body_length: 0,
            };
            let preface = Preface {
                head,
                meta: Vec::new(),
                sums: Vec::new(),
            };
            self.append(preface, |_, _| Ok(true))?;
        }
        self.sync()?;
        for purge in purges {
            if let Some(done) = purge.done.take() {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
        Ok(())
    }

    /// Adds a record whose body `write` writes at the offset it is given; when that gives up, the
    /// next record takes the place.
    fn append(
        &mut self,
        mut preface: Preface,
        write: impl FnOnce(&dyn File, u64) -> io::Result<bool>,
    ) -> io::Result<Option<Place>> {
        let length = preface.head.record_length();
        if !self.volume.shape.takes(length) {
            return Ok(None);
        }
        if !self.has_room(length) {
            self.roll()?;
        }
        let result = self.append_here(&mut preface, write);
        if result.is_err() {
            // Nobody knows what stands there now. What stood before is found one by one.
            let spoiled = self.open.take();
            self.sealed.extend(spoiled.map(|open| open.segment));
        }
        result
    }

    fn append_here(
        &mut self,
        preface: &mut Preface,
        write: impl FnOnce(&dyn File, u64) -> io::Result<bool>,
    ) -> io::Result<Option<Place>> {
        let open = self.open.as_mut();
        let open = open.ok_or_else(|| io::Error::other("no segment is open"))?;
        let (life, file) = (open.segment.life, &open.segment.file);
        if preface.head.kind == Kind::Object && preface.head.id == 0 {
            preface.head.id = life.generation << 32 | u64::from(open.at);
        }
        let bytes = preface.to_bytes(life);
        file.write(&bytes, u64::from(open.at))?;
        if !write(&**file, u64::from(open.at) + bytes.len() as u64)? {
            return Ok(None);
        }
        let length = u32::try_from(preface.head.record_length()).map_err(io::Error::other)?;
        let place = Place {
            slot: open.segment.slot,
            offset: open.at,
            length,
        };
        open.entries.push(Entry {
            kind: preface.head.kind,
            key: preface.head.key,
            offset: open.at,
            length,
        });
        open.at += length;
        open.unsynced += length;
        let behind = open.unsynced >= SYNC_EVERY;
        let figures = &self.volume.figures;
        figures
            .written_bytes
            .fetch_add(u64::from(length), Ordering::Relaxed);
        if behind {
            self.sync()?;
        }
        Ok(Some(place))
    }

    /// Has the disk write what the system holds, a little at a time rather than all at the end.
    fn sync(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            open.segment.file.sync()?;
            open.unsynced = 0;
        }
        Ok(())
    }

    fn has_room(&self, record: usize) -> bool {
        let length = self.volume.shape.segment;
        self.open.as_ref().is_some_and(|open| {
            let entries = open.entries.len() + 1;
            let end = open.at as usize + record + format::footer_length(entries);
            end <= length as usize && entries <= format::most_records(length)
        })
    }

    /// Seals the open segment and opens the next; then sees to it that there is a file for the one
    /// after that, for which the oldest segment may have to go.
    fn roll(&mut self) -> io::Result<()> {
        self.seal()?;
        self.make_room()?;
        let full = || io::Error::new(ErrorKind::StorageFull, "no room for a segment");
        let (slot, file) = self.free.pop_front().ok_or_else(full)?;
        let segment = Arc::new(Segment {
            slot,
            life: Life {
                generation: self.generation,
                salt: getrandom::u64().map_err(io::Error::other)?,
            },
            file: Arc::clone(&file),
            reused: AtomicBool::new(false),
        });
        let header = segment.life.header(self.volume.shape.segment);
        if let Err(error) = file.write(&header, 0) {
            self.free.push_front((slot, file));
            return Err(error);
        }
        self.generation += 1;
        self.volume.set_segment(slot, Some(Arc::clone(&segment)));
        self.open = Some(Open {
            segment,
            at: u32::try_from(HEADER).unwrap_or(u32::MAX),
            entries: Vec::new(),
            unsynced: 0,
        });
        self.make_room()
    }

    /// Sees to it that there is a free file, as far as there can be one.
    fn make_room(&mut self) -> io::Result<()> {
        while self.free.is_empty() && !self.grow()? && self.evict()? {}
        Ok(())
    }

    /// Makes another segment file, if there may be one more and there is room for it.
    fn grow(&mut self) -> io::Result<bool> {
        let used: Vec<u32> = self.slots().collect();
        let Some(slot) = (0..self.volume.shape.slots).find(|slot| !used.contains(slot)) else {
            return Ok(false);
        };
        match self.volume.files.create(slot, self.volume.shape.segment) {
            Ok(file) => self.free.push_back((slot, file)),
            Err(error) if is_full(&error) && used.len() >= LEAST_SEGMENTS => {
                self.full = true;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        self.full = false;
        Ok(true)
    }

    fn slots(&self) -> impl Iterator<Item = u32> {
        let sealed = self.sealed.iter().map(|segment| segment.slot);
        let open = self.open.iter().map(|open| open.segment.slot);
        sealed
            .chain(open)
            .chain(self.free.iter().map(|(slot, _)| *slot))
    }

    /// How many segment files there are.
    pub(super) fn segments(&self) -> usize {
        self.slots().count()
    }

    /// Gives up the oldest segment, if there is one. What was asked for since it was written moves to the open one,
    /// as long as that takes no more than half of it.
    fn evict(&mut self) -> io::Result<bool> {
        let Some(oldest) = self.sealed.pop_front() else {
            return Ok(false);
        };
        let rescued = self.rescue(&oldest);
        // It holds nothing from now on, for a restart too: what the index does not know any more
        // may be purged without a note.
        let wiped = rescued.and_then(|()| {
            oldest.reused.store(true, Ordering::Release);
            oldest.file.write(&[0; HEADER], 0)?;
            oldest.file.sync()
        });
        if let Err(error) = wiped {
            self.sealed.push_front(oldest);
            return Err(error);
        }
        self.volume.set_segment(oldest.slot, None);
        if oldest.file.is_held() {
            // The process before this one sends answers from it yet: they find their bytes in the file that has no
            // name any more, and another takes its place.
            self.volume.files.remove(oldest.slot)?;
        } else {
            let file = Arc::clone(&oldest.file);
            self.free.push_back((oldest.slot, file));
        }
        Ok(true)
    }

    fn rescue(&mut self, oldest: &Segment) -> io::Result<()> {
        let volume = Arc::clone(&self.volume);
        let (index, figures) = (&volume.index, &volume.figures);
        let Some(entries) = read_footer(oldest, volume.shape.segment) else {
            index.remove_slot(oldest.slot);
            return Ok(());
        };
        let mut share = self.open.as_ref().map_or(0, |_| volume.shape.segment / 2);
        for entry in entries {
            let place = entry.place(oldest.slot);
            let Some(asked) = index.asked(&entry.key, place) else {
                continue;
            };
            let fits = entry.length <= share && self.has_room(entry.length as usize);
            let mut kept = false;
            if asked && fits {
                share -= entry.length;
                let copy = self.copy(oldest, place, None)?;
                kept = copy.is_some_and(|to| index.replace(&entry.key, place, to));
            }
            if kept {
                figures.readmitted.fetch_add(1, Ordering::Relaxed);
            } else if index.remove_at(&entry.key, place) {
                figures.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Writes an object again that stands at `from`; `None` when it cannot be read, or is another
    /// than the one that was renewed.
    fn copy(
        &mut self,
        segment: &Segment,
        from: Place,
        renewal: Option<&Renewal>,
    ) -> io::Result<Option<Place>> {
        let Some(mut preface) = read_preface(segment, from.offset) else {
            return Ok(None);
        };
        let body_at = preface.head.body_at();
        let sums = preface.sums.clone();
        if let Some(Renewal { meta, same }) = renewal {
            let length = u32::try_from(meta.len()).ok();
            let fits = meta.len() <= format::MOST_META && same(&preface.meta, meta);
            let Some(length) = length.filter(|_| fits) else {
                return Ok(None);
            };
            preface.head.meta_length = length;
            preface.meta.clone_from(meta);
        }
        let length = preface.head.body_length as usize;
        let source = Arc::clone(&segment.file);
        self.append(preface, |file, at| {
            let start = u64::from(from.offset) + body_at as u64;
            let mut chunks = Chunks::new(&*source, start, length, &sums).peekable();
            while let Some((offset, _)) = chunks.peek() {
                let place = at + offset;
                let some = chunks
                    .by_ref()
                    .take(COPY)
                    .map(|(_, chunk)| chunk.map(Bytes::from));
                let Some(pieces) = some.collect::<Option<Vec<_>>>() else {
                    return Ok(false);
                };
                file.write_pieces(&pieces, place)?;
            }
            Ok(true)
        })
    }
}

impl Entry {
    pub(super) const fn place(&self, slot: u32) -> Place {
        Place {
            slot,
            offset: self.offset,
            length: self.length,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// After so many bytes the disk is made to write, so that sealing does not mean to wait for all.
const SYNC_EVERY: u32 = 32 << 20;
/// Chunks of an object that are copied at a time.
const COPY: usize = 16;
/// With fewer segment files there is no log: one is written, one is read, one is free.
const LEAST_SEGMENTS: usize = 3;
