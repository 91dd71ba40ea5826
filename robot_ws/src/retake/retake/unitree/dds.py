"""The DDS side of Unitree's wire: one participant on one network interface, samples as bytes, who else writes a topic.

The only module besides retake.unitree.idl that knows cyclonedds. Samples go past its Python serialiser, which takes
660 µs to write a LowState and 590 µs to read one. QoS are the defaults, as in Unitree's SDK: writers reliable, readers
best effort; a reader keeps the newest few.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Sequence
from typing import Any

from cyclonedds._clayer import ddspy_take, ddspy_write
from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
from cyclonedds.core import DDSException, InstanceState, ReadCondition, SampleState, ViewState, WaitSet
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from retake.errors import UserError

LOOPBACK = "lo"
DOMAIN_MAX = 232
_ANY = SampleState.Any | ViewState.Any | InstanceState.Any
_SIOCGIFADDR = 0x8915
# loopback has no multicast, and an announcement that is lost there is only repeated after this interval (default 8 s)
_CONFIG = (
    '<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="{}" priority="default" '
    'multicast="default"/></Interfaces></General><Discovery><SPDPInterval>2 s</SPDPInterval></Discovery></Domain>'
    '</CycloneDDS>'
)
_domains: dict[int, tuple[str, Domain]] = {}  # interface and domain; a process can set up a domain once


def address_of(interface: str) -> str:
    """IPv4 address of a network interface.

    Raises:
        UserError: there is no such interface, or it has no address.
    """
    names = [name for _, name in socket.if_nameindex()]
    if interface not in names:
        raise UserError(f"no network interface {interface!r}; here are: {', '.join(names)}; choose the one whose cable "
                        "goes to the robot: interface:=NAME")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            raise UserError(f"network interface {interface} has no IPv4 address; the G1's network is 192.168.123.0/24: "
                            f"ip address add 192.168.123.222/24 dev {interface}") from None
    return socket.inet_ntoa(answer[20:24])


class Writer:
    """Writes serialised messages to one topic."""

    def __init__(self, bus: Bus, entity: DataWriter) -> None:
        self._bus = bus  # its participant must outlive us
        self._entity, self._reference = entity, entity._ref

    def write(self, data: bytes) -> None:
        """One message with its CDR header; a multiple of 4 bytes.

        Raises:
            OSError: DDS did not take it.
        """
        code = ddspy_write(self._reference, data)
        if code < 0:
            raise OSError(f"DDS could not send: {DDSException(code).msg}")

    def write_message(self, message: Any) -> None:
        """One message of retake.unitree.idl."""
        data = message.serialize()
        self.write(data + bytes(-len(data) % 4))

    @property
    def readers(self) -> int:
        """How many readers are matched now."""
        return self._entity.get_publication_matched_status().current_count


class Reader:
    """Takes serialised messages of one topic, the newest `depth` of them."""

    def __init__(self, bus: Bus, entity: DataReader, kind: type) -> None:
        self._bus = bus  # its participant must outlive us
        self._entity, self._reference, self._kind = entity, entity._ref, kind
        self.condition: ReadCondition | None = None  # what wakes

    def take(self, count: int = 16) -> list[bytes]:
        """The messages that have come since the last time, serialised, oldest first.

        Raises:
            OSError: DDS cannot say.
        """
        taken = ddspy_take(self._reference, _ANY, count)
        if isinstance(taken, int):
            raise OSError(f"DDS could not read: {DDSException(taken).msg}")
        return [data for data, info in taken if info.valid_data]

    def take_messages(self) -> list[Any]:
        """As `take`, as messages of retake.unitree.idl; what cannot be read as one is left out."""
        messages = []
        for data in self.take():
            try:
                messages.append(self._kind.deserialize(data))  # type: ignore[attr-defined]
            except (ValueError, IndexError, struct.error):
                continue  # cut short, or of another version of the type
        return messages


class Bus:
    """A participant. Everything made here ends with it."""

    def __init__(self, domain: int, interface: str) -> None:
        """Join DDS `domain` on `interface`.

        Raises:
            UserError: no such interface or domain, or this process is in the domain on another interface.
        """
        self.domain, self.interface, self.address = domain, interface, address_of(interface)
        if not 0 <= domain <= DOMAIN_MAX:
            raise UserError(f"DDS domain {domain}; allowed: 0 to {DOMAIN_MAX}; the G1's is 0")
        if domain not in _domains:
            _domains[domain] = interface, Domain(domain, _CONFIG.format(interface))
        here, _ = _domains[domain]
        if here != interface:
            raise UserError(f"DDS domain {domain} is on {here} in this process, not on {interface}; choose another")
        self._participant = DomainParticipant(domain)
        self._topics: dict[str, Topic] = {}
        self._found = BuiltinDataReader(self._participant, BuiltinTopicDcpsPublication)
        self._waitset = WaitSet(self._participant)

    def writer(self, topic: str, kind: type) -> Writer:
        """A writer of messages of `kind` (retake.unitree.idl)."""
        return Writer(self, DataWriter(self._participant, self._topic(topic, kind)))

    def reader(
        self, topic: str, kind: type, depth: int = 1, others_only: bool = False, wakes: bool = False
    ) -> Reader:
        """A reader; `others_only` leaves out what this participant writes itself, `wakes` ends `wait` when it has
        something: take it then, or the next `wait` ends at once."""
        policies = [Policy.History.KeepLast(depth)]
        if others_only:
            policies.append(Policy.IgnoreLocal.Participant)
        entity = DataReader(self._participant, self._topic(topic, kind), Qos(*policies))
        reader = Reader(self, entity, kind)
        if wakes:
            reader.condition = ReadCondition(entity, _ANY)
            self._waitset.attach(reader.condition)
        return reader

    def wait(self, timeout_s: float) -> bool:
        """Block until a reader that wakes has something, True, or the time is over, False; other threads go on."""
        # what WaitSet.wait does, without three of its four Python calls
        return WaitSet._waitset_wait(None, self._waitset._ref, None, 0, int(timeout_s * 1e9)) > 0

    def writers_of(self, topic: str) -> Sequence[str]:
        """Keys of the other participants that have said they write `topic`; a killed one stays listed for 10 s."""
        own = self._participant.guid
        return sorted({str(found.participant_key) for found in self._found.read(N=1000)
                       if found.topic_name == topic and found.participant_key != own
                       and found.sample_info.instance_state == InstanceState.Alive})

    def _topic(self, name: str, kind: type) -> Topic:
        if name not in self._topics:
            self._topics[name] = Topic(self._participant, name, kind)
        return self._topics[name]

