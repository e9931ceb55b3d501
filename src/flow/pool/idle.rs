//! The idle connections, in the order in which they became idle: all of them, and those of each key.
//!
//! ```text
//!   all keys:  oldest <-> ... <-> newest       a newcomer is linked in at the end of both;
//!   each key:  oldest <-> ... <-> newest       one is unlinked wherever it stands
//! ```

use crate::flow::pool::slab::{Id, Slab};

/// The idle connections of all keys.
#[derive(Debug)]
pub(super) struct Idles<T> {
    nodes: Slab<Node<T>>,
    all: Ends,
}

/// The first and the last of a list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    oldest: Option<Id>,
    newest: Option<Id>,
}

#[derive(Debug)]
struct Node<T> {
    conn: T,
    slot: Id,
    in_all: Links,
    in_key: Links,
}

#[derive(Debug, Clone, Copy)]
struct Links {
    older: Option<Id>,
    newer: Option<Id>,
}

#[derive(Debug, Clone, Copy)]
enum List {
    All,
    Key,
}

impl Ends {
    pub(super) fn oldest(self) -> Option<Id> {
        self.oldest
    }

    pub(super) fn newest(self) -> Option<Id> {
        self.newest
    }
}

impl<T> Node<T> {
    fn links(&mut self, list: List) -> &mut Links {
        match list {
            List::All => &mut self.in_all,
            List::Key => &mut self.in_key,
        }
    }
}

impl<T> Idles<T> {
    pub(super) fn new() -> Self {
        Self {
            nodes: Slab::new(),
            all: Ends::default(),
        }
    }

    /// The oldest of all keys, and its slot.
    pub(super) fn oldest(&self) -> Option<(Id, Id)> {
        let id = self.all.oldest?;
        Some((id, self.nodes.get(id)?.slot))
    }

    pub(super) fn conn(&mut self, id: Id) -> Option<&mut T> {
        Some(&mut self.nodes.get_mut(id)?.conn)
    }

    /// The next newer one of all keys, and the slot of this one.
    pub(super) fn after(&self, id: Id) -> Option<(Option<Id>, Id)> {
        let node = self.nodes.get(id)?;
        Some((node.in_all.newer, node.slot))
    }

    /// The next newer one of its key.
    pub(super) fn after_in_key(&self, id: Id) -> Option<Id> {
        self.nodes.get(id)?.in_key.newer
    }

    /// Adds the newest of all, and of the key with these ends.
    pub(super) fn push(&mut self, slot: Id, key: &mut Ends, conn: T) {
        let last = |ends: &Ends| Links {
            older: ends.newest,
            newer: None,
        };
        let id = self.nodes.insert(Node {
            conn,
            slot,
            in_all: last(&self.all),
            in_key: last(key),
        });
        link(&mut self.nodes, &mut self.all, List::All, id);
        link(&mut self.nodes, key, List::Key, id);
    }

    /// Takes one out, of the key with these ends.
    pub(super) fn remove(&mut self, id: Id, key: &mut Ends) -> Option<T> {
        let node = self.nodes.remove(id)?;
        unlink(&mut self.nodes, &mut self.all, List::All, node.in_all);
        unlink(&mut self.nodes, key, List::Key, node.in_key);
        Some(node.conn)
    }
}

fn link<T>(nodes: &mut Slab<Node<T>>, ends: &mut Ends, list: List, id: Id) {
    let older = ends.newest.replace(id);
    match older.and_then(|older| nodes.get_mut(older)) {
        Some(older) => older.links(list).newer = Some(id),
        None => ends.oldest = Some(id),
    }
}

fn unlink<T>(nodes: &mut Slab<Node<T>>, ends: &mut Ends, list: List, links: Links) {
    match links.older.and_then(|older| nodes.get_mut(older)) {
        Some(older) => older.links(list).newer = links.newer,
        None => ends.oldest = links.newer,
    }
    match links.newer.and_then(|newer| nodes.get_mut(newer)) {
        Some(newer) => newer.links(list).older = links.older,
        None => ends.newest = links.older,
    }
}
