//! The slots of a cluster, and who serves them.

use redis::{FromRedisValue as _, Value};

use super::{
    super::{StoreError, format::unexpected},
    settings::Server,
};
use crate::domain::Partition;

/// What a cluster moves as one: the keys that are in it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Slot(pub(super) u16);

impl From<Partition> for Slot {
    /// The slot of everything in a partition: the hash tag of its keys is its number.
    fn from(partition: Partition) -> Self {
        Self(crc16(partition.to_string().as_bytes()) % SLOTS)
    }
}

impl Slot {
    /// The slot of a key that is of no partition.
    pub(super) fn of_key(key: &str) -> Self {
        let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let tag = tag.map(|(tag, _)| tag).filter(|tag| !tag.is_empty());
        Self(crc16(tag.unwrap_or(key).as_bytes()) % SLOTS)
    }
}

/// Who serves which slots, as one node says.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotMap {
    /// First and last slot, and their master.
    ranges: Vec<(u16, u16, Server)>,
    /// Every node that was named, replicas too.
    nodes: Vec<Server>,
}

impl SlotMap {
    /// Reads the answer of `asked` to `CLUSTER SLOTS`.
    pub(super) fn read(answer: &Value, asked: &Server) -> Result<Self, StoreError> {
        let mut map = Self::default();
        for range in parts(answer)? {
            let [first, last, nodes @ ..] = parts(range)? else { return Err(incomplete()) };
            let (first, last) = (number(first)?, number(last)?);
            let nodes = nodes.iter().map(|node| read_node(node, asked));
            let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
            // The master comes first. One whose address the node does not know cannot be reached.
            if let Some(Some(master)) = nodes.first() {
                map.ranges.push((first, last, master.clone()));
            }
            map.nodes.extend(nodes.into_iter().flatten());
        }
        map.nodes.sort_unstable();
        map.nodes.dedup();
        Ok(map)
    }

    /// The master that serves `slot`.
    pub(super) fn master_of(&self, Slot(slot): Slot) -> Option<&Server> {
        // What was learned last comes last.
        let mut newest_first = self.ranges.iter().rev();
        let serves = newest_first.find(|(first, last, _)| (*first..=*last).contains(&slot));
        serves.map(|(_, _, master)| master)
    }

    /// Every master that serves anything.
    pub(super) fn masters(&self) -> Vec<Server> {
        let mut masters: Vec<_> = self.ranges.iter().map(|(.., master)| master.clone()).collect();
        masters.sort_unstable();
        masters.dedup();
        masters
    }

    /// Every node, replicas too.
    pub(super) fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// Takes note that `master` serves `slot`, whatever was said before.
    pub(super) fn learn(&mut self, Slot(slot): Slot, master: Server) {
        self.ranges.retain(|(first, last, _)| !(*first == slot && *last == slot));
        self.ranges.push((slot, slot, master));
    }
}

/// Reads a node's address as `asked` names it; nothing if it does not know it. Without a host it
/// is the one that was asked at.
fn read_node(node: &Value, asked: &Server) -> Result<Option<Server>, StoreError> {
    let [host, port, ..] = parts(node)? else { return Err(incomplete()) };
    let host = Option::<String>::from_redis_value_ref(host).map_err(unexpected)?;
    Ok(server(host.as_deref().unwrap_or_default(), number(port)?, asked))
}

/// The server at `host` and `port`, as `asked` names it.
pub(super) fn server(host: &str, port: u16, asked: &Server) -> Option<Server> {
    let host = match host {
        "?" => return None,
        "" => &asked.host,
        host => host,
    };
    Some(Server { host: host.to_owned(), port })
}

fn parts(value: &Value) -> Result<&[Value], StoreError> {
    let Value::Array(parts) = value else { return Err(incomplete()) };
    Ok(parts)
}

/// The library would cut a number that is too large.
fn number(value: &Value) -> Result<u16, StoreError> {
    let number = i64::from_redis_value_ref(value).map_err(unexpected)?;
    u16::try_from(number).map_err(unexpected)
}

fn incomplete() -> StoreError {
    unexpected("an incomplete list of the slots of the cluster")
}

/// CRC-16/XMODEM, by which a cluster cuts keys into slots.
fn crc16(bytes: &[u8]) -> u16 {
    let shift = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ (u16::from(*byte) << 8), shift))
}

const SLOTS: u16 = 16384;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Server {
        Server { host: host.to_owned(), port }
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("an-id"), Value::Array(Vec::new())])
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, nodes: impl IntoIterator<Item = Value>) -> Value {
        let ends = [Value::Int(first), Value::Int(last)];
        Value::Array(ends.into_iter().chain(nodes).collect())
    }

    #[test]
    fn a_partition_is_in_the_slot_that_the_cluster_says() {
        // CLUSTER KEYSLOT of `tollgate:{p}:meta`.
        let slots = [0, 1, 12, 63, 1023].map(|number| Slot::from(Partition(number)));
        assert_eq!(slots, [13907, 9842, 8373, 10499, 14911].map(Slot));
        assert_eq!(Slot::of_key("tollgate:{12}:meta"), Slot(8373));
        assert_eq!(Slot::of_key("123456789"), Slot(0x31c3));
        assert_eq!(Slot::of_key("{}123456789"), Slot(crc16(b"{}123456789") % SLOTS));
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn a_slot_is_served_by_the_master_of_its_range() {
        let asked = at("seed", 7000);
        let answer = Value::Array(vec![
            range(0, 99, [node(text("a"), 1), node(text("b"), 2)]),
            range(100, 200, [node(Value::Nil, 3), node(text("?"), 4)]),
            range(300, 400, [node(text("?"), 5)]),
        ]);
        let mut map = SlotMap::read(&answer, &asked).unwrap();
        let masters = [0, 99, 100, 250, 300].map(|slot| map.master_of(Slot(slot)).cloned());
        let expected = [Some(at("a", 1)), Some(at("a", 1)), Some(at("seed", 3)), None, None];
        assert_eq!(masters, expected);
        assert_eq!(map.masters(), [at("a", 1), at("seed", 3)]);
        assert_eq!(map.nodes(), [at("a", 1), at("b", 2), at("seed", 3)]);

        map.learn(Slot(99), at("c", 9));
        map.learn(Slot(99), at("d", 9));
        let masters = [99, 98].map(|slot| map.master_of(Slot(slot)));
        assert_eq!(masters, [Some(&at("d", 9)), Some(&at("a", 1))]);
    }

    #[test]
    fn what_is_no_list_of_slots_is_refused() {
        let asked = at("seed", 7000);
        for answer in [
            Value::Okay,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![Value::Int(0)])]),
            Value::Array(vec![range(0, 99_999, [node(text("a"), 1)])]),
            Value::Array(vec![range(0, 99, [node(text("a"), -1)])]),
            Value::Array(vec![range(0, 99, [text("a")])]),
        ] {
            assert!(SlotMap::read(&answer, &asked).is_err(), "{answer:?}");
        }
    }
}
