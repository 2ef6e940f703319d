//! What leaves together, in what order, and what happens when the kernel has no room.

use std::net::Ipv4Addr;
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use super::*;

/// A kernel that takes as many messages as it has room for.
#[derive(Debug, Default)]
struct Kernel {
    messages: Mutex<Vec<(SocketAddr, Vec<usize>)>>,
    room: Mutex<usize>,
    waits: Mutex<Option<Waker>>,
}

impl Kernel {
    fn with_room(messages: usize) -> Arc<Self> {
        Arc::new(Self {
            room: Mutex::new(messages),
            ..Self::default()
        })
    }

    /// The bytes of each datagram of each message since it was last asked.
    fn had(&self) -> Vec<Vec<usize>> {
        let messages = std::mem::take(&mut *self.messages.lock());
        messages.into_iter().map(|(_, sizes)| sizes).collect()
    }

    fn make_room(&self, messages: usize) {
        *self.room.lock() += messages;
        if let Some(waker) = self.waits.lock().take() {
            waker.wake();
        }
    }
}

impl AsyncUdpSocket for Kernel {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut room = self.room.lock();
        *room = room.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        let datagrams = transmit.contents.chunks(size(transmit));
        let sizes = datagrams.map(<[u8]>::len).collect();
        self.messages.lock().push((transmit.destination, sizes));
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(client(0))
    }

    fn max_transmit_segments(&self) -> usize {
        64
    }
}

#[derive(Debug)]
struct Room(Arc<Kernel>);

impl UdpPoller for Room {
    fn poll_writable(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if *self.0.room.lock() > 0 {
            return Poll::Ready(Ok(()));
        }
        *self.0.waits.lock() = Some(context.waker().clone());
        Poll::Pending
    }
}

struct Woken(std::sync::atomic::AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn client(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn over(kernel: &Arc<Kernel>) -> Socket {
    let plain: Arc<Kernel> = Arc::clone(kernel);
    Socket { plain }
}

/// So many datagrams of a size to a client.
fn send(socket: &Socket, port: u16, datagrams: usize, bytes: usize) -> io::Result<()> {
    socket.try_send(&Transmit {
        destination: client(port),
        ecn: None,
        contents: &vec![0; datagrams * bytes],
        segment_size: (datagrams > 1).then_some(bytes),
        src_ip: None,
    })
}

/// A task that does something each time it is asked to go on, and never ends.
fn task(mut does: impl FnMut() + Send + 'static) -> Turns {
    Turns {
        future: Some(Box::pin(std::future::poll_fn(move |_| {
            does();
            Poll::Pending
        }))),
        left: None,
        due: false,
    }
}

/// Lets others go first, and then has its turn.
fn turn(task: &mut Turns) {
    turn_of(task, &mut Context::from_waker(Waker::noop()));
}

fn turn_of(task: &mut Turns, context: &mut Context<'_>) {
    for _ in 0..2 {
        assert!(Pin::new(&mut *task).poll(context).is_pending());
    }
}

#[test]
fn what_a_task_sends_in_one_turn_leaves_as_one_message() {
    let plain = Kernel::with_room(9);
    let socket = over(&plain);
    let kernel = Arc::clone(&plain);
    turn(&mut task(move || {
        send(&socket, 1, 10, 1200).unwrap();
        send(&socket, 1, 4, 1200).unwrap();
        send(&socket, 1, 1, 70).unwrap();
        assert!(kernel.had().is_empty());
    }));
    assert_eq!(plain.had(), [[&[1200; 14][..], &[70]].concat()]);
}

#[test]
fn a_message_has_datagrams_of_one_size_for_one_client() {
    let plain = Kernel::with_room(9);
    let socket = over(&plain);
    turn(&mut task(move || {
        send(&socket, 1, 2, 1200).unwrap();
        send(&socket, 1, 1, 70).unwrap();
        send(&socket, 1, 1, 70).unwrap();
        send(&socket, 1, 2, 1200).unwrap();
        send(&socket, 1, 2, 500).unwrap();
        send(&socket, 2, 1, 500).unwrap();
    }));
    let messages: [&[usize]; 5] = [&[1200, 1200, 70], &[70], &[1200; 2], &[500; 2], &[500]];
    assert_eq!(plain.had(), messages);
}

#[test]
fn a_task_that_may_have_more_goes_on_before_it_leaves_and_no_message_is_too_long() {
    let plain = Kernel::with_room(9);
    let socket = over(&plain);
    turn(&mut task(move || {
        for _ in 0..2 {
            send(&socket, 1, 10, 1452).unwrap();
        }
    }));
    assert_eq!(plain.had(), [vec![1452; 40]]);
    let socket = over(&plain);
    turn(&mut task(move || {
        for _ in 0..8 {
            send(&socket, 1, 5, 1200).unwrap();
        }
    }));
    assert_eq!(plain.had(), [vec![1200; 50], vec![1200; 30]]);
}

#[test]
fn what_the_kernel_has_no_room_for_leaves_once_it_has_and_keeps_its_order() {
    let plain = Kernel::with_room(0);
    let socket = over(&plain);
    let mut first = true;
    let refused = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&refused);
    let mut task = task(move || {
        if std::mem::take(&mut first) {
            send(&socket, 1, 2, 1200).unwrap();
        } else {
            seen.lock().push(send(&socket, 2, 1, 900).is_err());
        }
    });
    let woken = Arc::new(Woken(false.into()));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    turn_of(&mut task, &mut context);
    // Asked to go on for some other reason, it is told that there is no room.
    turn_of(&mut task, &mut context);
    assert!(plain.had().is_empty() && *refused.lock() == [true]);
    woken.0.store(false, std::sync::atomic::Ordering::Relaxed);
    plain.make_room(2);
    assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed));
    turn_of(&mut task, &mut context);
    assert_eq!(plain.had(), [vec![1200; 2], vec![900]]);
}

#[test]
fn a_task_that_is_woken_lets_others_go_first_and_is_woken_again() {
    let plain = Kernel::with_room(9);
    let socket = over(&plain);
    let mut task = task(move || send(&socket, 1, 1, 1200).unwrap());
    let woken = Arc::new(Woken(false.into()));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut task).poll(&mut context).is_pending());
    assert!(plain.had().is_empty());
    assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed));
    assert!(Pin::new(&mut task).poll(&mut context).is_pending());
    assert_eq!(plain.had(), [[1200]]);
}

#[test]
fn what_is_sent_outside_of_a_turn_leaves_at_once() {
    let plain = Kernel::with_room(9);
    let socket = over(&plain);
    send(&socket, 1, 1, 1200).unwrap();
    assert_eq!(plain.had(), [[1200]]);
}
