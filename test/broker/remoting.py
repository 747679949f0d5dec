# SPDX-License-Identifier: Apache-2.0
"""RocketMQ's remoting protocol in JSON frames, as far as tests need it: a second opinion beside Till's client in C.

    with Connection(("127.0.0.1", 10911)) as broker:
        answer = broker.call(Code.GET_MAX_OFFSET, topic="t", queueId=0)

A frame: total length (4 bytes, itself not counted), serialisation (1 byte, 0 is JSON) and length of the header (3 bytes),
header, body. Nothing here interprets failure: a call returns the answer with its code and remark; what never came raises
TimeoutError, a connection that died ConnectionError.
"""
import base64
import collections
import contextlib
import hashlib
import hmac
import json
import os
import queue
import socket
import ssl
import struct
import threading
import time
import zlib

HALF_TOPIC = "RMQ_SYS_TRANS_HALF_TOPIC"
OP_TOPIC = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
DISCARDED_TOPIC = "TRANS_CHECK_MAX_TIME_TOPIC"
COMMIT, ROLLBACK, UNKNOWN = 8, 12, 0
PREPARED = 4  # sysFlag of a half message
TLS_TRIES = 20
LIMIT_S = 60


class Code:
    SEND, PULL, QUERY_CONSUMER_OFFSET = 10, 11, 14
    UPDATE_TOPIC, UPDATE_CONFIG, RUNTIME_INFO, MAX_OFFSET, MIN_OFFSET = 17, 25, 28, 30, 31
    HEARTBEAT, UNREGISTER, END_TRANSACTION, CHECK_TRANSACTION = 34, 35, 37, 39
    ROUTE, CLUSTER_INFO, UPDATE_GROUP, PRODUCER_CONNECTIONS = 105, 106, 200, 204
    SEND_V2, RESUME_HALF, RECALL = 310, 323, 370
    POP, ACK, CHANGE_INVISIBLE, NOTIFICATION, BATCH_ACK = 200050, 200051, 200053, 200054, 200151
    CREATE_USER, CREATE_ACL = 3001, 3006


OK, SYSTEM_ERROR, BUSY, NO_PERMISSION, NO_TOPIC, PULL_NOT_FOUND, GO_AWAY = 0, 1, 2, 16, 17, 19, 1500

Frame = collections.namedtuple("Frame", "code remark ext body flag opaque json")


def join_properties(properties):
    return "".join(f"{name}\x01{value}\x02" for name, value in properties.items())


def split_properties(text):
    return dict(item.split("\x01", 1) for item in text.split("\x02") if "\x01" in item)


def stored_messages(data):
    """The messages of a pull, a pop or a check, as dicts; the body is unpacked when it was packed with zlib."""
    messages = []
    while len(data) >= 4:
        total = struct.unpack_from(">i", data)[0]
        messages.append(stored_message(data[:total]))
        data = data[total:]
    return messages


def stored_message(data):
    _, magic, _, queue_id, flag, queue_offset, offset, sys_flag, born = struct.unpack_from(">iIiiiqqiq", data)
    at = struct.calcsize(">iIiiiqqiq") + (20 if sys_flag & 0x10 else 8)
    stored_at = struct.unpack_from(">q", data, at)[0]
    at += 8 + (20 if sys_flag & 0x20 else 8)
    reconsumed, prepared, n = struct.unpack_from(">iqi", data, at)
    at += 16
    body, at = data[at:at + n], at + n
    n, at = (data[at], at + 1) if magic == 0xDAA320A7 else (struct.unpack_from(">h", data, at)[0], at + 2)
    topic, at = data[at:at + n].decode(), at + n
    n, at = struct.unpack_from(">h", data, at)[0], at + 2
    properties = split_properties(data[at:at + n].decode())
    return {"topic": topic, "queueId": queue_id, "flag": flag, "queueOffset": queue_offset, "commitLogOffset": offset,
            "sysFlag": sys_flag, "bornTimestamp": born, "storeTimestamp": stored_at, "reconsumeTimes": reconsumed,
            "preparedOffset": prepared, "properties": properties, "keys": properties.get("KEYS"),
            "tags": properties.get("TAGS"), "body": zlib.decompress(body) if sys_flag & 1 else body, "size": len(data)}


def _text(value):
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def split_address(address):
    """"127.0.0.1:10911" or a pair."""
    if isinstance(address, str):
        host, port = address.rsplit(":", 1)
        return host, int(port)
    return address


class Connection:
    """One connection. Answers go to their callers, what the broker asks by itself to `asked` (a queue of frames)."""

    def __init__(self, address, tls=False, access_key=None, secret_key=None, limit_s=LIMIT_S):
        self.limit_s, self.access_key, self.secret_key = limit_s, access_key, secret_key
        self.asked = queue.Queue()
        self._lock, self._opaque, self._waiting = threading.Lock(), 0, {}
        self._socket = self._open_tls(address, limit_s) if tls else socket.create_connection(split_address(address), limit_s)
        self._socket.settimeout(None)
        self.dead = None
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def _open_tls(address, limit_s):
        """Tries again: 5.5.0 takes some handshakes for plain connections, in enforcing mode a fifth of them on a busy machine."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for left in reversed(range(TLS_TRIES)):
            plain = socket.create_connection(split_address(address), limit_s)
            try:
                return context.wrap_socket(plain)
            except OSError as e:
                plain.close()
                if left == 0:
                    raise ConnectionError(f"no TLS: {e}") from e

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    # --- frames

    def _sign(self, ext, body):
        if self.access_key is None:
            return ext
        ext = dict(ext, AccessKey=self.access_key)
        content = "".join(ext[k] for k in sorted(ext)).encode() + body
        mac = hmac.new(self.secret_key.encode(), content, hashlib.sha1).digest()
        return dict(ext, Signature=base64.b64encode(mac).decode())

    def _write(self, code, flag, opaque, ext, body):
        ext = self._sign({k: _text(v) for k, v in ext.items() if v is not None}, body)
        header = json.dumps({"code": code, "language": "OTHER", "version": 513, "opaque": opaque, "flag": flag,
                             "extFields": ext, "serializeTypeCurrentRPC": "JSON"}).encode()
        with self._lock:
            self._socket.sendall(struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body)

    def send_bytes(self, data):
        """Anything at all, as it is."""
        with self._lock:
            self._socket.sendall(data)

    def start(self, code, body=b"", **ext):
        """Sends a request and returns what finish() takes: for many in flight."""
        box = queue.Queue(1)
        with self._lock:
            self._opaque += 1
            opaque = self._opaque
            self._waiting[opaque] = box
        if self.dead:
            raise ConnectionError(self.dead)
        self._write(code, 0, opaque, ext, body)
        return opaque, box

    def finish(self, started, limit_s=None):
        opaque, box = started
        try:
            frame = box.get(timeout=self.limit_s if limit_s is None else limit_s)
        except queue.Empty:
            self._waiting.pop(opaque, None)
            raise TimeoutError("no answer") from None
        if frame is None:
            raise ConnectionError(self.dead)
        return frame

    def call(self, code, body=b"", limit_s=None, **ext):
        return self.finish(self.start(code, body, **ext), limit_s)

    def oneway(self, code, body=b"", **ext):
        self._write(code, 2, 0, ext, body)

    def expect(self, frame_of):
        """A frame to wait for by hand, for requests not written by start(): returns what finish() takes."""
        box = queue.Queue(1)
        self._waiting[frame_of] = box
        return frame_of, box

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            part = self._socket.recv(n - len(data))
            if not part:
                raise ConnectionError("the other side closed the connection")
            data += part
        return data

    def _read(self):
        try:
            while True:
                total, word = struct.unpack(">iI", self._exactly(8))
                rest = self._exactly(total - 4)
                n = word & 0xFFFFFF
                self._take(word >> 24, rest[:n], rest[n:])
        except (OSError, ValueError) as e:
            self.dead = str(e) or type(e).__name__
        for box in list(self._waiting.values()):
            box.put(None)

    def _take(self, kind, header, body):
        if kind == 0:
            h = json.loads(header)
            frame = Frame(h["code"], h.get("remark"), h.get("extFields") or {}, body, h["flag"], h["opaque"], True)
        else:
            code, _, _, opaque, flag, n = struct.unpack_from(">hbhiii", header)
            frame = Frame(code, header[17:17 + n].decode(), {}, body, flag, opaque, False)
        if frame.flag & 1:
            box = self._waiting.pop(frame.opaque, None)
            if box:
                box.put(frame)
        else:
            self.asked.put(frame)

    # --- transactions

    def heartbeat(self, *producer_groups, client_id=None):
        body = {"clientID": client_id or f"127.0.0.1@test-{os.getpid()}-{id(self)}",
                "producerDataSet": [{"groupName": g} for g in producer_groups], "consumerDataSet": [],
                "heartbeatFingerprint": 0, "withoutSub": False}
        return self.call(Code.HEARTBEAT, json.dumps(body).encode())

    def send(self, topic, body, group="python", tags="t", keys="k", queue_id=0, sys_flag=0, reconsumed=0, **properties):
        """SEND_MESSAGE_V2; the answer's frame. reconsumed: as if it had been delivered so many times and given back."""
        given = {"UNIQ_KEY": os.urandom(16).hex().upper(), "TAGS": tags, "KEYS": keys, "WAIT": "true", **properties}
        text = join_properties({k: v for k, v in given.items() if v is not None})
        return self.call(Code.SEND_V2, body, a=group, b=topic, c="TBW102", d=4, e=queue_id, f=sys_flag,
                         g=int(time.time() * 1000), h=0, i=text, j=reconsumed, k=False, m=False)

    def send_half(self, topic, body, group, uniq_key=None, **more):
        """Half message; the handle end() takes."""
        uniq_key = uniq_key or os.urandom(16).hex().upper()
        answer = self.send(topic, body, group, sys_flag=PREPARED, UNIQ_KEY=uniq_key, TRAN_MSG="true", PGROUP=group, **more)
        if answer.code != OK:
            raise AssertionError(f"half message refused: {answer}")
        return {"topic": topic, "group": group, "msgId": uniq_key, "commitLogOffset": int(answer.ext["msgId"][-16:], 16),
                "queueOffset": int(answer.ext["queueOffset"])}

    def end(self, handle, answer, oneway=False, limit_s=None, from_check=False, **changed):
        """END_TRANSACTION; the answer's frame."""
        ext = {"topic": handle["topic"], "producerGroup": handle["group"], "tranStateTableOffset": handle["queueOffset"],
               "commitLogOffset": handle["commitLogOffset"], "commitOrRollback": answer, "fromTransactionCheck": from_check,
               "msgId": handle["msgId"], "transactionId": handle["msgId"], **changed}
        if oneway:
            return self.oneway(Code.END_TRANSACTION, **ext)
        return self.call(Code.END_TRANSACTION, limit_s=limit_s, **ext)

    def next_check(self, limit_s=LIMIT_S):
        """The next CHECK_TRANSACTION_STATE as (handle, message, frame)."""
        try:
            frame = self.asked.get(timeout=limit_s)
        except queue.Empty:
            raise TimeoutError("not asked") from None
        if frame.code != Code.CHECK_TRANSACTION:
            return self.next_check(limit_s)
        message = stored_messages(frame.body)[0]
        handle = {"topic": message["topic"], "group": message["properties"]["PGROUP"], "msgId": frame.ext["msgId"],
                  "commitLogOffset": int(frame.ext["commitLogOffset"]),
                  "queueOffset": int(frame.ext["tranStateTableOffset"]),
                  "checkTimes": int(message["properties"].get("TRANSACTION_CHECK_TIMES", 0))}
        return handle, message, frame

    # --- looking at what is there

    def max_offset(self, topic, queue_id=0):
        """0 as well where there is no such queue yet."""
        answer = self.call(Code.MAX_OFFSET, topic=topic, queueId=queue_id)
        return int(answer.ext.get("offset", 0)) if answer.code == OK else 0

    def count(self, topic, queues=8):
        """Messages ever written to a topic's queues here; follows the answer to a send by some milliseconds."""
        return sum(self.max_offset(topic, q) for q in range(queues))

    def read_queue(self, topic, queue_id=0, offset=0, most=32, group="python_look"):
        """Up to `most` messages of a queue, none consumed."""
        answer = self.call(Code.PULL, consumerGroup=group, topic=topic, queueId=queue_id, queueOffset=offset, maxMsgNums=most,
                           sysFlag=4, commitOffset=0, suspendTimeoutMillis=0, subscription="*", subVersion=0,
                           expressionType="TAG")
        return stored_messages(answer.body) if answer.code == OK else []

    def read_topic(self, topic, queues=8):
        """All messages of a topic, of each queue in order."""
        messages = []
        for q in range(queues):
            offset = 0
            while batch := self.read_queue(topic, q, offset):
                messages += batch
                offset += len(batch)
        return messages

    def runtime_info(self):
        return json.loads(self.call(Code.RUNTIME_INFO).body)["table"]

    def bytes_written(self):
        """End of the commit log: grows by every byte the broker appends."""
        return int(self.runtime_info()["commitLogMaxOffset"])

    def consumer_offset(self, group, topic, queue_id=0):
        """None: the group has none there."""
        answer = self.call(Code.QUERY_CONSUMER_OFFSET, consumerGroup=group, topic=topic, queueId=queue_id,
                           setZeroIfNotFound=False)
        return int(answer.ext["offset"]) if answer.code == OK else None

    def lag(self, group, topic, queues=8):
        """Messages the group has not consumed yet, by its committed offsets."""
        return sum(max(0, self.max_offset(topic, q) - (self.consumer_offset(group, topic, q) or 0)) for q in range(queues))

    # --- changing it

    def create_topic(self, topic, queues=4, perm=6):
        return self.call(Code.UPDATE_TOPIC, topic=topic, defaultTopic="TBW102", readQueueNums=queues, writeQueueNums=queues,
                         perm=perm, topicFilterType="SINGLE_TAG", topicSysFlag=0, order=False)

    def configure(self, **values):
        """Changes the broker's settings while it runs."""
        return self.call(Code.UPDATE_CONFIG, "".join(f"{k}={_text(v)}\n" for k, v in values.items()).encode())

    def create_group(self, group, **changed):
        body = {"groupName": group, "consumeEnable": True, "consumeFromMinEnable": True, "consumeBroadcastEnable": True,
                "retryQueueNums": 1, "retryMaxTimes": 16, "brokerId": 0, "whichBrokerWhenConsumeSlowly": 1,
                "notifyConsumerIdsChangedEnable": True, "attributes": {}, **changed}
        return self.call(Code.UPDATE_GROUP, json.dumps(body).encode())

    def create_user(self, name, password, kind="Normal"):
        body = {"username": name, "password": password, "userType": kind}
        return self.call(Code.CREATE_USER, json.dumps(body).encode(), username=name)

    def create_acl(self, user, *rules):
        """Rules are (resource, "PUB,SUB"); a resource is Topic:NAME or Group:NAME."""
        entries = [{"resource": resource, "actions": actions.split(","), "decision": "ALLOW"} for resource, actions in rules]
        body = {"subject": f"User:{user}", "policies": [{"policyType": "CUSTOM", "entries": entries}]}
        return self.call(Code.CREATE_ACL, json.dumps(body).encode(), subject=f"User:{user}")

    # --- POP

    def pop(self, topic, group, most=32, invisible_ms=10000, poll_ms=0, queue_id=-1, limit_s=None, **changed):
        """Messages with a receipt each (message["receipt"]) and the answer's frame."""
        ext = dict(consumerGroup=group, topic=topic, queueId=queue_id, maxMsgNums=most, invisibleTime=invisible_ms,
                   pollTime=poll_ms, bornTime=0, initMode=0, expType="TAG", exp="*", order=False)
        ext.update(changed)
        answer = self.call(Code.POP, limit_s=limit_s or self.limit_s + poll_ms / 1000, **ext)
        messages = stored_messages(answer.body) if answer.code == OK else []
        starts = {}
        for entry in filter(None, answer.ext.get("startOffsetInfo", "").split(";")):
            flag, q, start = entry.split(" ")
            starts[(flag, q)] = start
        for message in messages:
            receipt = message["properties"].get("POP_CK")
            if receipt is None:
                start = starts[("0", str(message["queueId"]))]
                receipt = " ".join((start, answer.ext["popTime"], answer.ext["invisibleTime"], answer.ext["reviveQid"], "0",
                                    changed.get("bname", "broker-a"), str(message["queueId"]), str(message["queueOffset"])))
            message["receipt"] = receipt
        return messages, answer

    def ack(self, message, topic, group):
        """`topic` is the one popped from; a retried message's own is found in its receipt."""
        parts = message["receipt"].split(" ")
        real = {"0": topic, "1": f"%RETRY%{group}_{topic}", "2": f"%RETRY%{group}+{topic}"}[parts[4]]
        return self.call(Code.ACK, consumerGroup=group, topic=real, queueId=parts[6], offset=parts[7],
                         extraInfo=message["receipt"])


def route(name_server, topic, **connection):
    """TopicRouteData as a dict; None: the name server knows no such topic."""
    with Connection(name_server, **connection) as c:
        answer = c.call(Code.ROUTE, topic=topic, acceptStandardJsonOnly=True)
        return json.loads(answer.body) if answer.code == OK else None
