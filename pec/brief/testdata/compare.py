"""Compares messages with what package brief made of them, by the parser of Python.

Standard input has lines "message<TAB>original<TAB>over<TAB>algorithm"; what is wrong is written, a line each.
"""
import email, email.policy, hashlib, re, sys


def leaves(part, parent=None):
    """The parts in order, messages within being leaves, each with its place in the tree."""
    nested = part.get_content_type() == "message/rfc822"
    yield part, parent
    if part.is_multipart() and not nested:
        for child in part.get_payload():
            yield from leaves(child, part)


def content(part, over, raw):
    """The bytes that a hash is over."""
    if part.get_content_type() == "message/rfc822":
        text = part.get_payload(0).as_bytes(policy=email.policy.compat32.clone(linesep="\r\n"))
        return text if text + b"\r\n--" in raw or raw.endswith(text) else text.removesuffix(b"\r\n")
    if over == "encoded":
        return part._payload.encode("ascii", "surrogateescape")  # get_payload() would make text of it
    return part.get_payload(decode=True)



def names(part):
    decoded = part.get_param("name", None, "content-type")
    return [part.get_filename(), email.utils.collapse_rfc2231_value(decoded) if decoded is not None else None]


def compare(message, original, over, algorithm):
    raw = open(message, "rb").read()
    before = list(leaves(email.message_from_bytes(raw)))
    after = list(leaves(email.message_from_bytes(open(original, "rb").read())))
    if len(before) != len(after):
        yield f"{len(before)} parts before, {len(after)} after"
        return
    signed = before[0][0].get_content_type() == "multipart/signed"
    whole = before[0][0].get_content_type() in ("application/pkcs7-mime", "application/x-pkcs7-mime")
    for i, ((a, parent), (b, _)) in enumerate(zip(before, after)):
        if a.is_multipart() and a.get_content_type() != "message/rfc822":
            if a.items() != b.items() or a.preamble != b.preamble or a.epilogue != b.epilogue or a.defects:
                yield f"part {i}: {a.get_content_type()} differs, or is defective: {a.defects}"
            continue
        named = any(n is not None for n in names(a))
        signature = signed and parent is before[0][0] and a is parent.get_payload()[1]
        if whole or signature or not named and a.get_content_type() != "message/rfc822":
            if a.as_bytes() != b.as_bytes():
                yield f"part {i}: {a.get_content_type()} has changed"
            continue
        if b.get_content_type() != "text/plain" or b["content-transfer-encoding"] != "7bit":
            yield f"part {i}: the hash file is {b.get_content_type()}"
        if b.get_content_disposition() != (a.get_content_disposition() or "attachment"):
            yield f"part {i}: the disposition is {b.get_content_disposition()}"
        for old, new in zip(names(a), names(b)):
            if new is None or not new.endswith(".hash") or old and "=?" not in old and old + ".hash" != new:
                yield f"part {i}: {old!r} has become {new!r}"
        want = hashlib.new(algorithm, content(a, over, raw)).hexdigest()
        if b.get_payload() != want:
            yield f"part {i}: the hash of {names(a)} is {b.get_payload()!r}, want {want!r}"


for line in sys.stdin:
    fields = line.rstrip("\n").split("\t")
    for fault in compare(*fields):
        print(fields[0] + ": " + fault)
