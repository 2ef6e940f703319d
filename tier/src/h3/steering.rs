//! Which process gets a packet while two serve one UDP port.
//!
//! Both sockets are bound to the port with `SO_REUSEPORT`, and a classic BPF program that hangs on the pair chooses
//! between them. Each process begins its connection ids with a tag of its own, drawn at start. A packet that bears the
//! old process's tag goes to the old one, everything else, new connections above all, to the new one.
//!
//! The kernel numbers the sockets of a port in the order in which they were bound; when one is closed, the last takes
//! its number, and a number that no socket has is passed over. So there are two processes at most: the old one has
//! number 0 and the new one number 1, and whoever is alone has number 0. Whoever is alone keeps everything
//! ([`Steering::keep_all`]), so that a socket that is bound beside it gets nothing until it takes over.

use std::io;
use std::net::UdpSocket;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, HashedConnectionIdGenerator, InvalidCid};

/// The tag that begins a process's connection ids.
pub type Tag = u16;

/// One process's share in the port.
#[derive(Debug)]
pub struct Steering {
    socket: UdpSocket,
    tag: Tag,
    elder: Option<Tag>,
}

impl Steering {
    /// For a socket that is bound to a port on which `elder` serves, if there is one.
    ///
    /// # Errors
    /// When the kernel knows no such programs, or gives no random number.
    pub(super) fn new(socket: UdpSocket, elder: Option<Tag>) -> io::Result<Self> {
        let mut tag = elder;
        while tag == elder {
            let drawn = getrandom::u32().map_err(io::Error::other)?;
            tag = Tag::try_from(drawn >> 16).ok();
        }
        let tag = tag.ok_or_else(|| io::Error::other("no tag"))?;
        let steering = Self { socket, tag, elder };
        if elder.is_none() {
            steering.keep_all()?;
        }
        Ok(steering)
    }

    /// The tag of this process.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The port.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn port(&self) -> io::Result<u16> {
        self.socket.local_addr().map(|address| address.port())
    }

    /// From now on this process gets all packets but those of the old one's connections.
    ///
    /// # Errors
    /// When the kernel does not take the program.
    pub fn take_over(&self) -> io::Result<()> {
        self.elder
            .map_or(Ok(()), |elder| attach(&self.socket, &mut split(elder)))
    }

    /// From now on this process gets all packets, also when another socket is bound to the port. For one that is alone.
    ///
    /// # Errors
    /// When the kernel does not take the program.
    pub fn keep_all(&self) -> io::Result<()> {
        attach(&self.socket, &mut [op(RETURN, 0, 0, OLD)])
    }
}

/// Makes connection ids that begin with a tag.
pub(super) struct Tagged {
    tag: Tag,
    rest: HashedConnectionIdGenerator,
}

impl Tagged {
    pub(super) fn new(tag: Tag) -> Self {
        Self {
            tag,
            rest: HashedConnectionIdGenerator::new(),
        }
    }
}

impl ConnectionIdGenerator for Tagged {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = self.tag.to_be_bytes().to_vec();
        id.extend_from_slice(&self.rest.generate_cid());
        ConnectionId::new(&id)
    }

    /// Those of another process are none of ours: what bears one gets no stateless reset from us.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let (tag, rest) = id.split_at_checked(TAG_BYTES).ok_or(InvalidCid)?;
        if *tag != self.tag.to_be_bytes() || rest.len() != self.rest.cid_len() {
            return Err(InvalidCid);
        }
        self.rest.validate(&ConnectionId::new(rest))
    }

    fn cid_len(&self) -> usize {
        TAG_BYTES + self.rest.cid_len()
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// The program that knows the old process's packets (RFC 8999 §5): those whose destination connection id begins with
/// its tag. That stands behind the first byte of a short header. A long one says how long it is; a client's first
/// packets bear an id that the client has drawn, mostly of another length.
fn split(elder: Tag) -> [libc::sock_filter; 10] {
    [
        op(LOAD_BYTE, 0, 0, 0),
        op(JUMP_IF_SET, 0, 4, 0x80),
        op(LOAD_BYTE, 0, 0, 5),
        op(JUMP_IF_EQUAL, 0, 5, ID_BYTES),
        op(LOAD_HALF, 0, 0, 6),
        op(JUMP, 0, 0, 1),
        op(LOAD_HALF, 0, 0, 1),
        op(JUMP_IF_EQUAL, 0, 1, elder.into()),
        op(RETURN, 0, 0, OLD),
        op(RETURN, 0, 0, NEW),
    ]
}

const fn op(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "every code has 16 bits")]
    let code = code as u16;
    libc::sock_filter { code, jt, jf, k }
}

fn attach(socket: &UdpSocket, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    Ok(setsockopt(socket, sockopt::AttachReusePortCbpf, &program)?)
}

/// The sockets of the port by their numbers.
const OLD: u32 = 0;
const NEW: u32 = 1;

const TAG_BYTES: usize = 2;
/// How long our connection ids are.
const ID_BYTES: u32 = 10;

const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_IF_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use super::*;

    fn socket(at: SocketAddr) -> UdpSocket {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&at.into()).unwrap();
        let socket = UdpSocket::from(socket);
        let patience = Duration::from_secs(30);
        socket.set_read_timeout(Some(patience)).unwrap();
        socket
    }

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40], id, &[0; 20]].concat()
    }

    /// A long header of a type: 0 is an Initial packet, 1 is 0-RTT, 2 is Handshake (RFC 9000 §17.2).
    fn long(kind: u8, id: &[u8]) -> Vec<u8> {
        let length = u8::try_from(id.len()).unwrap();
        [&[0xc0 | kind << 4, 0, 0, 0, 1, length], id, &[0; 20]].concat()
    }

    #[test]
    fn each_packet_comes_to_the_process_whose_connection_it_belongs_to() {
        let old = socket((Ipv4Addr::LOCALHOST, 0).into());
        let at = old.local_addr().unwrap();
        let elder = Steering::new(old.try_clone().unwrap(), None).unwrap();
        let new = socket(at);
        let heir = Steering::new(new.try_clone().unwrap(), Some(elder.tag())).unwrap();
        assert_ne!(elder.tag(), heir.tag());
        let ours = Tagged::new(heir.tag()).generate_cid();
        let its = Tagged::new(elder.tag()).generate_cid();
        let drawn = [0x55; 18];
        let packets = [
            (short(&its), &old),
            (short(&ours), &new),
            (long(2, &its), &old),
            (long(2, &ours), &new),
            // What a client sends again while a handshake with the old one is under way.
            (long(0, &its), &old),
            (long(0, &drawn), &new),
            (long(1, &drawn), &new),
            // Nobody's.
            (short(&drawn), &new),
        ];
        let arrives = |packet: &[u8], at_whom: &UdpSocket| {
            // From many clients, of whom a hash would send half to either.
            for _ in 0..16 {
                let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                client.send_to(packet, at).unwrap();
                let mut got = [0; 64];
                let (length, from) = at_whom.recv_from(&mut got).unwrap();
                assert_eq!(from, client.local_addr().unwrap());
                assert_eq!(&got[..length], packet);
            }
        };
        for (packet, _) in &packets {
            arrives(packet, &old);
        }
        heir.take_over().unwrap();
        for (packet, whose) in &packets {
            arrives(packet, whose);
        }
        // The old process ends: the new one gets what is left, whatever it is.
        let packets = packets.map(|(packet, _)| packet);
        drop((old, elder));
        for packet in &packets {
            arrives(packet, &new);
        }
        // And is the old one next time.
        heir.keep_all().unwrap();
        let third = socket(at);
        let next = Steering::new(third.try_clone().unwrap(), Some(heir.tag())).unwrap();
        arrives(&short(&drawn), &new);
        next.take_over().unwrap();
        arrives(&short(&drawn), &third);
        arrives(&short(&ours), &new);
    }

    #[test]
    fn a_port_is_shared_with_nobody_who_did_not_ask_for_it() {
        let first = socket((Ipv4Addr::LOCALHOST, 0).into());
        assert!(UdpSocket::bind(first.local_addr().unwrap()).is_err());
    }

    #[test]
    fn connection_ids_of_another_process_are_none_of_ours() {
        let (mut ours, mut others) = (Tagged::new(7), Tagged::new(8));
        let (id, other) = (ours.generate_cid(), others.generate_cid());
        assert_eq!(id.len(), ours.cid_len());
        assert_eq!(id.len(), ID_BYTES as usize);
        assert!(ours.validate(&id).is_ok());
        assert!(ours.validate(&other).is_err() && others.validate(&id).is_err());
        // The tag of ours, but not drawn by us: a process of the same tag, long gone.
        assert!(ours.validate(&Tagged::new(7).generate_cid()).is_err());
    }
}
