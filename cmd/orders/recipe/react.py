#!/usr/bin/env python3
"""Answer what other authorities change, each change once: a reaction for a service
that is not written in Go, over HTTP. Python 3 and its standard library only.

    react.py --endpoint http://127.0.0.1:7980 --cursor-file refund.cursor

It is what node.React does for a service in Go, in four steps:

1. Poll GET /v1/changes from the kept cursor, filtered by prefix.
2. For each update of another authority work out the answer, from that update and
   nothing that differs at the next try (see answer, which is the part to change).
3. Publish it with the update as "cause", the reaction's name as "hook", and a "key"
   made of both, so that however often it is sent it is published once.
4. Keep the cursor once the whole page is answered, durably. Killed at any point, the
   next run polls the same page again, and its keys find what was published.

It has to be a node of its own authority, always the same: keys belong to a node. They
are kept for 24 h, so a run that was killed must not stay down for longer than that.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HOOK = "refund"
PREFIX = "order"


def answer(update):
    """The draft that answers an update, None if there is nothing to say."""
    lost = update["delta"].get("lost")
    if not lost:
        return None
    return {"subject": "refund/" + update["id"], "delta": {"for": update["subject"], "items": lost}}


class Refused(Exception):
    """The node will never take this."""


def call(url, body=None, timeout=90):
    """Call the node until it answers, and return the answer. A refusal raises."""
    wait = 0.1
    while True:
        request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
        if body is not None:
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            problem = error.read().decode(errors="replace")
            # 409 unknown_dependency: the cause is not applied there yet, as after a
            # restart. 429 and 5xx: not now.
            if error.code not in (409, 429) and error.code < 500:
                raise Refused(problem) from None
            print("node says", error.code, problem, file=sys.stderr)
        except OSError as error:  # it does not answer
            print("node does not answer:", error, file=sys.stderr)
        time.sleep(wait)
        wait = min(2 * wait, 10)


def load_cursor(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() or "start"
    except FileNotFoundError:
        return "start"  # or "now": only what comes


def save_cursor(path, cursor):
    """Replace the file as a whole, so that a kill leaves the old one or the new one."""
    with open(path + ".tmp", "w", encoding="ascii") as file:
        file.write(cursor)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def react(endpoint, cursor_file, hook, prefix):
    own = call(endpoint + "/v1/mesh")["authority"]
    cursor = load_cursor(cursor_file)
    while True:
        query = urllib.parse.urlencode({"since": cursor, "prefix": prefix, "limit": 100, "wait": "30s"})
        page = call(endpoint + "/v1/changes?" + query)
        for update in page["updates"]:
            if update["authority"] == own:
                continue
            draft = answer(update)
            if draft is None:
                continue
            draft |= {"cause": update["id"], "hook": hook, "key": hook + "/" + update["id"]}
            try:
                call(endpoint + "/v1/updates?wait=5s", draft)
            except Refused as problem:
                # key_reused: it was answered before, by an older version of answer.
                # Others, such as a chain of reactions that is too long: nobody can.
                print("no answer to", update["id"], problem, file=sys.stderr)
        if page["cursor"] != cursor:
            cursor = page["cursor"]
            save_cursor(cursor_file, cursor)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--endpoint", default="http://127.0.0.1:7980", help="the node of this authority")
    parser.add_argument("--cursor-file", required=True, help="where the place is kept")
    parser.add_argument("--hook", default=HOOK, help="the reaction's name")
    parser.add_argument("--prefix", default=PREFIX, help="of the subjects to react to")
    args = parser.parse_args()
    react(args.endpoint, args.cursor_file, args.hook, args.prefix)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
