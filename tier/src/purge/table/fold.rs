//! Making room in a table that is full: of many keys one that concerns at least as much.

use std::collections::HashMap;

use contracts::feed::{Folder, Scope, Text};
use contracts::id::TenantId;

use super::{Held, Kind, Marks, TENANT, Table, cost};

/// What keys may be folded into.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Group {
    /// What is in a film's folder, `/v/film/`, or on a host, `//host/`.
    Folder(Box<str>),
    /// What is one tenant's, and what is nobody's.
    Tenant(TenantId),
}

/// How wide a group is.
#[derive(Clone, Copy)]
enum Width {
    Folder,
    Tenant,
}

impl Table {
    /// Makes room, so that the next time is far away. Where much can be gained by little, it is: whoever has most keys
    /// pays for them. What is purged with everybody else's comes last.
    pub(super) fn fold(&mut self) {
        let enough = self.limit / 4 * 3;
        for least in [self.limit / 64, 0] {
            for width in [Width::Folder, Width::Tenant] {
                self.fold_groups(width, least, enough);
            }
        }
        if self.used > enough {
            self.fold_into_all();
        }
    }

    /// Folds groups that save more than `least`, the largest first, until what is left is little enough.
    fn fold_groups(&mut self, width: Width, least: usize, enough: usize) {
        if self.used <= enough {
            return;
        }
        let mut costs: HashMap<Group, usize> = HashMap::new();
        for (kind, key, held) in self.keys() {
            if let Some(group) = Group::of(width, kind, key, held) {
                *costs.entry(group).or_default() += cost(key);
            }
        }
        let saved = |(group, before): (Group, usize)| {
            let after = group.cost();
            (before > after + least).then(|| (before - after, group))
        };
        let mut groups: Vec<(usize, Group)> = costs.into_iter().filter_map(saved).collect();
        groups.sort_unstable_by(|one, other| other.cmp(one));
        let mut left = self.used;
        let mut chosen = HashMap::new();
        for (saves, group) in groups {
            if left <= enough {
                break;
            }
            left = left.saturating_sub(saves);
            chosen.insert(group, None);
        }
        self.merge(width, chosen);
    }

    fn merge(&mut self, width: Width, mut groups: HashMap<Group, Option<Held>>) {
        for (kind, of_kind) in [
            (Kind::Url, &mut self.urls),
            (Kind::Prefix, &mut self.prefixes),
            (Kind::Tag, &mut self.tags),
        ] {
            of_kind.retain(|key, held| {
                let group = Group::of(width, kind, key, held);
                let Some(wider) = group.and_then(|group| groups.get_mut(&group)) else {
                    return true;
                };
                wider.get_or_insert_with(|| held.clone()).join(held);
                false
            });
        }
        self.merges += u64::from(!groups.is_empty());
        for (group, held) in groups {
            let Some(held) = held else { continue };
            match group.scope() {
                Some(scope) => self.hold(&scope, held.tenant.as_ref(), held.marks),
                // No key gives such a group; if one did, nothing would be forgotten.
                None => self.all.raise(held.marks),
            }
            if let Group::Tenant(_) = group {
                self.untagged.raise(held.marks);
            }
        }
        self.used = self.keys().map(|(_, key, _)| cost(key)).sum();
    }

    /// Folds the older half into the key that stands for everything.
    fn fold_into_all(&mut self) {
        let mut ages: Vec<(u64, usize)> = Vec::with_capacity(self.len());
        let keys = self.keys();
        ages.extend(keys.map(|(_, key, held)| (held.marks.newest(), cost(key))));
        ages.sort_unstable_by_key(|(newest, _)| *newest);
        let mut left = self.used;
        let mut through = 0;
        for (newest, cost) in ages {
            if left <= self.limit / 2 {
                break;
            }
            left -= cost;
            through = newest;
        }
        let mut folded = Marks::default();
        for of_kind in [&mut self.urls, &mut self.prefixes, &mut self.tags] {
            of_kind.retain(|_, held| {
                let keep = held.marks.newest() > through;
                if !keep {
                    folded.raise(held.marks);
                }
                keep
            });
        }
        self.all.raise(folded);
        self.folds += 1;
        self.forget_what_all_covers();
    }

    /// A key whose orders are all older than what concerns everything says nothing more.
    pub(super) fn forget_what_all_covers(&mut self) {
        let all = self.all;
        let says_more = |marks: Marks| marks.hard > all.hard || marks.soft > all.soft.max(all.hard);
        let mut used = 0;
        for of_kind in [&mut self.urls, &mut self.prefixes, &mut self.tags] {
            of_kind.retain(|key, held| {
                let keep = says_more(held.marks);
                if keep {
                    used += cost(key);
                }
                keep
            });
        }
        self.used = used;
        if !says_more(self.untagged) {
            self.untagged = Marks::default();
        }
    }
}

impl Group {
    /// The group of a key, where it concerns at least what the key does.
    fn of(width: Width, kind: Kind, key: &str, held: &Held) -> Option<Self> {
        match (width, kind) {
            (Width::Folder, Kind::Url | Kind::Prefix) => {
                let path = key.split_once('?').map_or(key, |(path, _)| path);
                let (end, _) = path.match_indices('/').nth(2)?;
                let folder = path.get(..=end)?;
                // A folder that is a key already is no group of others.
                let is_wider = folder.len() < key.len() || matches!(kind, Kind::Url);
                (folder.starts_with('/') && is_wider).then(|| Self::Folder(folder.into()))
            }
            (Width::Folder, Kind::Tag) => None,
            (Width::Tenant, _) => {
                let tenant = held.tenant.as_ref()?;
                let is_own =
                    matches!(kind, Kind::Tag) && key.strip_prefix(TENANT) == Some(tenant.as_str());
                (!is_own).then(|| Self::Tenant(tenant.clone()))
            }
        }
    }

    fn scope(&self) -> Option<Scope> {
        match self {
            Self::Folder(folder) => Folder::parse(folder).ok().map(Scope::Prefix),
            Self::Tenant(tenant) => Text::parse(&format!("{TENANT}{tenant}"))
                .ok()
                .map(Scope::Tag),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Folder(folder) => cost(folder),
            Self::Tenant(tenant) => cost(tenant.as_str()) + TENANT.len(),
        }
    }
}
