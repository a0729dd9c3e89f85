"""The commands of `./portal`, and their replacements for Django's other commands.

Needs neither Django nor settings, so that `./portal help` and `./portal --version` answer on any
machine.
"""

import difflib
import textwrap
from collections.abc import Iterable, Mapping
from typing import Final

#: Commands of the launcher itself, the file `portal`.
LAUNCHER: Final[Mapping[str, str]] = {
    "test": "Run the tests, with --fast those that start no process; options go to pytest.",
    "interop": (
        "Run each SCEP client that is installed against a portal, and write "
        "docs/devices/interop.md."
    ),
    "fuzz": "Send mutated messages by the million to the readers of messages.",
    "attack": "Send one odd message to a running portal and take the answer apart.",
}
#: Every command, grouped by task. A test compares each sentence with the command's own.
GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "Run the portal": {
        "up": "Run the portal: web server, workers, broker. Ctrl-C stops all of it.",
        "demo": "Enroll a throw-away device and show each step.",
        "doctor": "Check this installation and say what is wrong with it.",
        "selftest": (
            "Walk the whole loop with a throw-away device; or ask a profile what any stranger may "
            "ask."
        ),
        "check_invariants": (
            "Check requests, decisions, certificates, challenges and the log against each other."
        ),
        "completion": "Print the script with which bash or zsh completes commands and options.",
    },
    "People": {
        "createuser": "Create a user with roles, and issue the link that sets the password.",
        "users": (
            "List and show people, change their roles, switch accounts off and on, issue password "
            "links."
        ),
        "tokens": "List, make and revoke API tokens.",
        "ndes": "List, make and disable NDES accounts; give one a new password.",
    },
    "Authorities and profiles": {
        "createca": "Create a certification authority, root or issuing.",
        "createprofile": "Create an enrollment profile and its certificate profile.",
        "profiles": "List the enrollment profiles with their SCEP addresses.",
        "validation": "Set, list and test the services that profiles ask about challenges.",
        "crl": "List certificate revocation lists, or issue one now.",
        "rollover": "Let a next CA take the place of a CA, in stages.",
        "racertificates": (
            "List the RA certificates for SCEP, make the next ones now, or give one up."
        ),
    },
    "Devices, requests, certificates": {
        "deviceconfig": (
            "Print what to paste into a device so that it enrolls, or write Apple's configuration "
            "profile."
        ),
        "createchallenge": (
            "Make one-time challenges for a profile and print them; they cannot be shown again."
        ),
        "challenges": (
            "List and show challenges, make them from a list, withdraw them; rotate and reveal "
            "static ones."
        ),
        "devices": (
            "Make groups of expected devices, add lists to them, and see which devices never "
            "called."
        ),
        "requests": (
            "List, show, approve, reject enrollment requests; retry what could not be signed; "
            "erase comments."
        ),
        "certificates": "List, show, export, revoke and release issued certificates.",
        "keys": "List, block and unblock public keys.",
    },
    "Several machines": {
        "migrate": "Bring the database to this version; `up` does it by itself.",
        "secrets": (
            "Compare this machine's secrets with the others'; accept one that was changed on all "
            "of them."
        ),
        "grants": "Print the SQL that gives the database roles their rights.",
        "collectstatic": (
            "Collect style sheets, scripts and pictures for the web server; `up` does it by itself."
        ),
        "clearsessions": "Remove sessions that are over.",
        "sendtestemail": "Send a test mail to an address, by EMAIL_URL.",
    },
    "Development": {
        **LAUNCHER,
        "bench": (
            "Measure the CPU time of each reply, as ratios to bare OpenSSL operations, in one run."
        ),
        "seed": "Fill the database with rows for load tests.",
        "check": "Check models, settings and triggers for mistakes.",
        "makemigrations": "Write migrations for changed models.",
        "showmigrations": "List the migrations and which are applied.",
        "sqlmigrate": "Print the SQL of a migration.",
    },
}
SENTENCES: Final[Mapping[str, str]] = {
    name: sentence for commands in GROUPS.values() for name, sentence in commands.items()
}

_UNRECORDED: Final = "it changes data without an entry in the audit log"
#: Django commands that the portal does not offer, with their replacements.
REFUSED: Final[Mapping[str, str]] = {
    "changepassword": (
        "it changes a password without an entry in the audit log: use `./portal users setup-link "
        "NAME`"
    ),
    "createsuperuser": (
        "it creates an account without roles: use `./portal createuser`, or `./portal users`"
    ),
    "dumpdata": (
        "it prints password hashes and secrets: copy the database as docs/operations.md says under "
        "Backup"
    ),
    "loaddata": (
        f"{_UNRECORDED}: restore a copy of the database as docs/operations.md says under Backup"
    ),
    "flush": "it deletes every record: use a new folder with `./portal up --data DIR`",
    "shell": f"{_UNRECORDED}: use the commands that `./portal help` lists",
    "dbshell": (
        f"{_UNRECORDED}: use the commands that `./portal help` lists, or the database's own tools "
        "to read"
    ),
    "diffsettings": (
        "it prints secrets: use `./portal doctor`, which says where each one comes from"
    ),
    "inspectdb": "it is for databases without models: use `./portal showmigrations`",
    "runserver": "it is a server for experiments: use `./portal up`",
    "testserver": "it is a server for experiments: use `./portal up --data DIR` with a new folder",
    "createcachetable": "the table comes with the others: use `./portal migrate`",
    "remove_stale_contenttypes": f"{_UNRECORDED}: use `./portal migrate`",
    "account_unsetmultipleprimaryemails": f"{_UNRECORDED}: use `./portal users`",
    "findstatic": "it answers a question of developers only: use `./portal collectstatic`",
    "optimizemigration": "released migrations stay as they are: use `./portal makemigrations`",
    "squashmigrations": "released migrations stay as they are: use `./portal makemigrations`",
    "sqlflush": (
        "it prints SQL that deletes every record: use a new folder with `./portal up --data DIR`"
    ),
    "sqlsequencereset": "the sequences are right after each migration: use `./portal migrate`",
    "startapp": "the places for code are listed in CONTRIBUTING.md: use `./portal help`",
    "startproject": "the portal is a project already: use `./portal up`",
    "compilemessages": "the pages are in English only: use `./portal help`",
    "makemessages": "the pages are in English only: use `./portal help`",
    "generateschema": (
        "the REST interface is described in docs/api.md: use `./portal tokens` to begin"
    ),
}


class NoCommand(Exception):
    """Not a command of the portal; the text names the intended one."""


def check_command(name: str) -> None:
    """Raise NoCommand for everything that `help_text` does not list."""
    if name in SENTENCES:
        return
    if name in REFUSED:
        raise NoCommand(f"{name}: {REFUSED[name]}")
    close = difflib.get_close_matches(name.lower(), SENTENCES, n=1)
    suggestion = f"Did you mean `./portal {close[0]}`? " if close else ""
    raise NoCommand(
        f"{name}: there is no such command. {suggestion}`./portal help` lists the commands"
    )


def help_text(version: str, *, width: int = 100) -> str:
    """Return all commands in their groups, one sentence each."""
    column = max(map(len, SENTENCES)) + 4
    lines = [
        f"PKI portal {version}",
        "",
        "Usage: ./portal COMMAND [options]     ./portal COMMAND --help",
        "",
    ]
    for group, commands in GROUPS.items():
        lines.append(group)
        lines += _rows(commands.items(), column=column, width=width)
        lines.append("")
    lines.append(
        "Give commands the data folder of a running portal, as --data DIR or in PORTAL_DATA. "
        "docs/commands.md"
    )
    return "\n".join(lines)


def _rows(commands: Iterable[tuple[str, str]], *, column: int, width: int) -> list[str]:
    rows = []
    for name, sentence in commands:
        first, *rest = textwrap.wrap(sentence, width - column) or [""]
        rows += [f"  {name:<{column - 2}}{first}", *(f"{'':<{column}}{line}" for line in rest)]
    return rows
