"""What an error means for the person at the terminal, and what to do about it.

The error itself says what happened; this table adds the other two parts. Codes we have nothing special to say about
get the sentence of their family.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ownroot.console.errors import DeclinedError
from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    KeyStoreError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)


class Advice(NamedTuple):
    """The second and third part of an error text."""

    meaning: str
    remedy: str


_NOTHING_CHANGED = "Nothing was changed."
_ASK_THE_OPERATOR = Advice(
    "Your token is valid, and not for this.",
    "Ask the operator for one that is: `ownroot token create --factory FACTORY --scope SCOPE`.",
)
_REGISTER_AGAIN = Advice(
    "The certificate of this device does not count at that gateway (any more).",
    "Register the device again: `ownroot-device register --force`.",
)
_OTHER_IDENTITY = Advice(
    "sota.toml may be older than the last renewal, or the record of a renewal was lost. " + _NOTHING_CHANGED,
    "Let sota.toml name the other identity (on a token: key 07 and certificate 09 in place of 01 and 03, or back; in "
    "files: pkey.next.pem and client.next.pem) and run `ownroot-device whoami`. If the gateway lets neither in, "
    "register the device again: `ownroot-device register --force`.",
)
_GROUP = Advice(
    "A device group has to be made before anybody can be in it. " + _NOTHING_CHANGED,
    "See which there are with `ownroot config device-group list`; make one: `ownroot config device-group create NAME`.",
)
_CEREMONY_FILE = Advice(
    "It was damaged on its way, opened in an editor that saved it, or altered. Nothing of it was used.",
    "Copy it again from where it was made. If that does not help, make a new request.",
)
_PKI_DIRECTORY_MIXED = Advice(
    "The files of this directory do not belong together, so nothing of it was used or sent.",
    "Name the directory that holds this factory's root, or restore its files from your backup.",
)

_BY_FAMILY: Mapping[type[OwnrootError], Advice] = {
    InvalidInputError: Advice(
        "What was given is not what it should be. " + _NOTHING_CHANGED, "Correct it and try again."
    ),
    RefusedError: Advice(
        "The request was understood and is not allowed.",
        "See the reason above; ask the owner if it is not yours to change.",
    ),
    UnauthenticatedError: Advice(
        "The server does not know who you are.",
        "Run `ownroot login` with a valid token; `ownroot-device` takes one from `--token` or OWNROOT_TOKEN.",
    ),
    NotFoundError: Advice(
        "There is no such thing, or your token may not see it.",
        "Check the spelling, the factory (`-f`; of `ownroot-device`: `--factory`) and the scopes of your token.",
    ),
    ConflictError: Advice(
        "The state is no longer what this command assumed.",
        "Look at what is there now. If it is what you want, nothing is left to do; if not, decide again.",
    ),
    KeyStoreError: Advice(
        "A private key that is needed cannot be used.",
        "Check that the key is where it should be and that you may read it.",
    ),
    UnavailableError: Advice(
        "It may work later; nothing is known to be wrong with your request.", "Try again in a moment."
    ),
    DeclinedError: Advice(_NOTHING_CHANGED, "Run the command again when you are ready."),
}

_LYING_SERVER = Advice(
    "The server tells what the signed roots do not bear out. Nothing was signed after that.",
    "Ask the operator, and compare roots with another admin: `ownroot keys tuf show-root -k KEYS.tgz`.",
)

_UNKNOWN_END = Advice(
    "The request may or may not have been carried out.",
    "Run the command again: repeating it is safe, and it says if there is nothing left to do.",
)

ADVICE_BY_CODE: Mapping[str, Advice] = {
    "tuf-current-differs": _LYING_SERVER,
    "tuf-staged-invalid": _LYING_SERVER,
    "tuf-staged-unexpected": _LYING_SERVER,
    "tuf-chains-differ": _LYING_SERVER,
    "tuf-published-differs": _LYING_SERVER,
    "tuf-other-chain": Advice(
        "Most likely the file is of another factory or another server. If it is of this one, the server is not what it "
        "was: it was put back to an earlier state, or is another. Nothing was signed.",
        "Name this factory's key file (`-k`), or the factory and the server of the file (`-f`, `--url`). If both are "
        "right, sign nothing, ask the operator, and compare roots with another admin: `ownroot keys tuf show-root`.",
    ),
    "tuf-first-root-key-replaced": Advice(
        "The first root key is handed out until the root is taken over, and that is done. " + _NOTHING_CHANGED,
        "Leave `--first-time` out, and name the file with the root key of this factory; `ownroot keys show -k "
        "KEYS.tgz` says whether it is in one. If none of you took the root over, talk to the operator now.",
    ),
    "tuf-update-active": Advice(
        "One change of the roots is under way at a time.",
        "Look at it with `ownroot keys tuf updates review`; give it up with `ownroot keys tuf updates cancel`.",
    ),
    "tuf-update-none": Advice(
        "Nobody began one, or it was applied or given up meanwhile.",
        "Begin one with `ownroot keys tuf updates init`, or see what holds now: `ownroot keys tuf show-root`.",
    ),
    "tuf-root-invalid": Advice(
        "Devices would refuse this root, for the reasons above. Nothing was published.",
        "Make what is missing (mostly signatures: `ownroot keys tuf updates sign`), or cancel the change.",
    ),
    "tuf-key-file-missing": Advice(
        "There is no file of this name on this machine. Nothing was sent or signed.",
        "Name the file that a take-over made. Before it, see `ownroot keys tuf rotate-offline-key --help`.",
    ),
    "tuf-key-not-in-file": Advice(
        "The file belongs to somebody else, or to keys that were replaced. Nothing was signed.",
        "See who holds which key with `ownroot keys show -k KEYS.tgz`, and name the right file.",
    ),
    "tuf-key-on-token": Advice(
        "The private half is on a token, and this machine cannot ask it. Nothing was signed.",
        "Plug it in and name it: `--hsm-module FILE --hsm-token-label LABEL`.",
    ),
    "tuf-key-file-exists": Advice(
        "A file with keys is never written over. Nothing was changed.", "Name a new file, and keep this one."
    ),
    "tuf-targets-too-long": Advice(
        "More than devices or the server read. Nothing was published.",
        "Take back old ones: `ownroot targets prune --keep N`, of production devices with `--prod -k KEYS.tgz`.",
    ),
    "no-connection": Advice(
        "The server is not running, the address is wrong, or a firewall is in between. " + _NOTHING_CHANGED,
        "Check the address (`--url`, OWNROOT_URL; of `ownroot-device register`: `--api`) and that `ownroot serve` is "
        "running there.",
    ),
    "no-answer": _UNKNOWN_END,
    "connection-lost": _UNKNOWN_END,
    "no-such-path": Advice(
        "The server is there, and what it was asked for is not: the path of the address is wrong, or the server is "
        "older than this program.",
        "Check the address above to the last slash: `ownroot-device register --api` wants the whole one, such as "
        "https://api.example.com/ota/devices/; `--url` of `ownroot` what comes before /ota/.",
    ),
    "tls-failed": Advice(
        "The other side is not a TLS server, or it refuses what this one offers.",
        "Check host and port, and whether the address begins with https:// rightly.",
    ),
    "server-not-trusted": Advice(
        "Either this is not the server it claims to be, or its CA is not known here. Nothing was sent to it.",
        "If the server has a CA of its own, name it with `--cacert FILE`. There is no way to skip the check.",
    ),
    "token-in-clear": Advice(
        "Whoever reads a token can act as its owner. Nothing was sent.",
        "Use https://, or reach the server through a tunnel to this machine.",
    ),
    "redirected": Advice(
        "The address is not that of the API itself; following it could lose the write or give away the token.",
        "Use the address where the API really answers (`ownroot login --url`).",
    ),
    "bad-answer": Advice(
        "The address is not that of an Ownroot API, or it is one this program does not understand.",
        "Check the address, and that server and program are of about the same version.",
    ),
    "not-http": Advice("Something else listens at that address.", "Check host, port and http:// or https://."),
    "not-logged-in": Advice(
        "Commands that talk to a server need its address, a factory and a token.",
        "Name a factory that has a login here (`-f`), run `ownroot login --url URL -f FACTORY`, or set OWNROOT_URL, "
        "OWNROOT_FACTORY and OWNROOT_TOKEN.",
    ),
    "client-unknown": Advice(
        "The OAuth client was deleted, or its id or secret was mistyped.",
        "Check both, or ask the operator for a new one: `ownroot client create --factory FACTORY --scope SCOPE`.",
    ),
    "client-expired": Advice(
        "The OAuth client was made for a limited time.",
        "Ask the operator for a new one: `ownroot client create --factory FACTORY --scope SCOPE`.",
    ),
    "pki-not-set-up": Advice(
        "The factory still runs on the shared PKI, whose keys the operator of the server holds.",
        "Take it over with `ownroot keys ca create DIR`.",
    ),
    "already-taken-over": Advice(
        "A root is set once. Every later change is signed with it; a second root would cut all devices. "
        + _NOTHING_CHANGED,
        "Look at it with `ownroot keys ca show --pretty`. If you did not do this, talk to the operator now.",
    ),
    "root-already-set": Advice(
        "Somebody has taken over this factory already; a root is set once.",
        "Look at it with `ownroot keys ca show --pretty`. If you did not do this, talk to the operator now.",
    ),
    "trust-directory-unwritable": Advice(
        "Whoever reads that directory goes on with what it had.",
        "Check its owner and mode, and that the disk has room; then run the command again.",
    ),
    "trust-directory-busy": Advice(
        "Two writers of one directory would undo each other's work.",
        "Look for the other one (`systemctl list-units`), or name another directory.",
    ),
    "trust-reload-failed": Advice(
        "The program goes on with the device CAs it read before; a revoked one may be among them.",
        "Run the reload command by hand and see what it says; then run this command again.",
    ),
    "no-device-cas": Advice(
        "Files without any device CA are not written: most programs do not start with them. Those there stay.",
        "If all CAs were revoked on purpose, stop the program that reads the files. Else: `ownroot keys ca show`.",
    ),
    "cannot-ask": Advice(
        "This step has a cost and needs a yes. " + _NOTHING_CHANGED,
        "Run it on a terminal, or add `--yes` if that is what you want.",
    ),
    "key-exists": Advice(
        "A key that is overwritten is lost for good, and a root takes its fleet with it. The file was not touched.",
        "Use another directory, or move the old files to a safe place first.",
    ),
    "key-unreadable": Advice(
        "The private key cannot be read by you.", "Run as the user who owns the file (it should have mode 0400)."
    ),
    "secret-exposed": Advice(
        "Whoever has read that secret can speak in this server's name.",
        "Close the file to others (`chmod 600 FILE`), make a new secret or token, and put it there.",
    ),
    "data-directory-mode": Advice(
        "Whoever may write there can put files of their own in the place of the server's. Nothing was opened.",
        "Close it to others (`chmod go-w DIRECTORY`). If somebody may have been there, restore it from a backup.",
    ),
    "journal-unavailable": Advice(
        "A site registers nothing while its journal cannot be used.",
        "Its operator looks at the disk (room, mode, is it mounted?). A damaged file is replaced by its backup while "
        "the server is stopped.",
    ),
    "pki-file-exists": Advice(
        "It was made by an earlier run or by hand, and files of a PKI are never replaced.",
        "Name another file (`--local-ca-filename`) or directory. A CA that is not trusted yet is sent by "
        "`ownroot keys ca update DIR`.",
    ),
    "other-root": Advice(
        "The server would refuse all that the root here signs. " + _NOTHING_CHANGED,
        "Name the PKI directory of this factory, or the factory of this directory (`-f`).",
    ),
    "no-such-device-ca": Advice(
        "It may be revoked already, never have been trusted, or be of another factory. " + _NOTHING_CHANGED,
        "See what is trusted with `ownroot keys ca show --pretty`. A revoked CA comes back by its certificate: "
        "`ownroot keys ca enable-device-ca DIR --ca-file NAME`.",
    ),
    "est-not-authorized": Advice(
        "Devices cannot renew their certificates until the server has one for EST.",
        "Give it one: `ownroot keys est authorize DIR`.",
    ),
    "pki-directory-unwritable": Advice(
        "What this command makes would have no place to stay there, so nothing was made. " + _NOTHING_CHANGED,
        "Make room there (32 KiB) and see that you may write it; or, for a new PKI, name another directory.",
    ),
    "pki-directory-busy": Advice(
        "Two runs in one directory could disturb each other. " + _NOTHING_CHANGED, "Wait until the other one has ended."
    ),
    "pki-directory-mixed": _PKI_DIRECTORY_MIXED,
    "pki-directory-other-factory": _PKI_DIRECTORY_MIXED,
    "pki-directory-incomplete": Advice(
        "Without it this command cannot sign or check anything.",
        "Name the PKI directory of this factory, or restore the file from your backup. The root certificate alone, "
        "factory_ca.pem, can be had again: `ownroot keys ca show --just-root`.",
    ),
    "wrong-factory": Advice(
        "A token is valid for one factory. " + _NOTHING_CHANGED,
        "Name the right factory with `-f`, or log in with a token made for this one.",
    ),
    "scope-missing": _ASK_THE_OPERATOR,
    "role-missing": _ASK_THE_OPERATOR,
    "device-unknown": Advice(
        "There is no such device in this factory, or it has another name by now.",
        "See all with `ownroot devices list`. Where what you have is a uuid, commands that take `-u` want it.",
    ),
    "device-not-registered": Advice(
        "Everything a device does at its gateway needs the files that its registration writes.",
        "Register it with `ownroot-device register`, or name the directory where that was done (`--dir`).",
    ),
    "device-group-unknown": _GROUP,
    "group-unknown": _GROUP,
    "owner-unknown": Advice(
        "A device or a token belongs to a member of the factory. " + _NOTHING_CHANGED,
        "The server's operator sees who they are, and their polis-ids: `ownroot member list --factory FACTORY`.",
    ),
    "suspicion-none": Advice(
        "There is nothing to end: nobody suspects a copy of its key, or somebody released it before you.",
        "See what is said of it with `ownroot devices show NAME`, and of whom it is: `ownroot devices list "
        "--only-suspected`.",
    ),
    "rotation-none": Advice(
        "Its configuration is not locked: the device has come with its new key, or never announced one.",
        "See who is at it with `ownroot devices rotations`, and how it went with `ownroot devices updates NAME`.",
    ),
    "rotation-under-way": Advice(
        "Its configuration is locked until it comes with its new key. " + _NOTHING_CHANGED,
        "Mostly that takes seconds. If not, `ownroot devices rotations` says what keeps it; to give the new key up and "
        "unlock it: `ownroot devices cancel-rotation NAME`.",
    ),
    "device-denied": Advice(
        "The device was deleted, and contact alone does not bring it back.",
        "If it should come back, its owner runs `ownroot devices delete-denied UUID`; or, where the backend itself "
        "signs, register it again: `ownroot-device register --force`.",
    ),
    "device-ca-unknown": _REGISTER_AGAIN,
    "device-ca-not-trusted": _REGISTER_AGAIN,
    "device-ca-revoked": _REGISTER_AGAIN,
    "device-factory": _REGISTER_AGAIN,
    "device-ca-disabled": Advice(
        "Devices known before go on; new ones are not admitted under this CA.",
        "Register this device under another device CA, or ask the owner to enable this one.",
    ),
    "device-key-mismatch": Advice(
        "A device of this uuid is known with another key. Either this one lost its key, or one of the two is a clone.",
        "Find out which. If it is this one, delete the device (`ownroot devices delete`) and register it again.",
    ),
    "present-identity-refused": _OTHER_IDENTITY,
    "other-identity-newer": _OTHER_IDENTITY,
    "client-certificate-missing": Advice(
        "That server answers only whoever shows a certificate it knows, over TLS.",
        "A device at its gateway: see that sota.toml names its certificate and key. A board at a site with "
        "`--client-ca`: `ownroot-device` shows no station's certificate; its operator serves boards with "
        "`--require-token`.",
    ),
    "device-held-for-review": Advice(
        "The server came back from a backup that is older than this device's certificate.",
        "Ask the factory's owner to let it in with `ownroot devices accept`; then it goes on by itself.",
    ),
    "device-held-refused": Advice(
        "The factory's owner has refused this key; contact alone does not bring the device back.",
        "If it should come back, register it again: `ownroot-device register --force`.",
    ),
    "held-unknown": Advice(
        "It may have been accepted or refused already, or it has not called since the restore. " + _NOTHING_CHANGED,
        "See what is held with `ownroot devices held`.",
    ),
    "clock-before-backup": Advice(
        "A restore needs a right clock to tell what was issued since the backup. " + _NOTHING_CHANGED,
        "Set the clock of this machine (UTC), then restore again.",
    ),
    "ceremony-file-altered": _CEREMONY_FILE,
    "ceremony-file-unreadable": _CEREMONY_FILE,
    "ceremony-file-too-large": _CEREMONY_FILE,
    "ceremony-file-exists": Advice(
        "A ceremony file is evidence and is never replaced. " + _NOTHING_CHANGED, "Name another file."
    ),
    "ceremony-signature": Advice(
        "Somebody who does not hold this factory's root has made or altered the file. " + _NOTHING_CHANGED,
        "Do not use it. Find out where it was changed, then approve the request again where the root is.",
    ),
    "ceremony-other-factory": Advice(
        "Each ceremony is for one factory. " + _NOTHING_CHANGED,
        "Name that factory's PKI directory (`--pki-dir`), or the factory of the file (`-f`).",
    ),
    "ceremony-stale": Advice(
        "What was approved was decided for another state; it could undo what was done since. " + _NOTHING_CHANGED,
        "Look at the present state with `ownroot keys ca show --pretty`. If you still want the change, make a new "
        "request and have it approved.",
    ),
    "ceremony-expired": Advice(
        "Too much time went by between the machines. " + _NOTHING_CHANGED,
        "Make a new request. For verdicts on device CAs, `keys ca approve --crl-valid-minutes` gives more time.",
    ),
    "clock-behind": Advice(
        "Certificates would begin in the past and lists could end before they arrive. " + _NOTHING_CHANGED,
        "Set the clock of this machine (UTC), then run the command again.",
    ),
    "site-settings-unreadable": Advice(
        "The server did not start.", "Name the file that holds its options, or leave `--config` out."
    ),
    "config-unreadable": Advice("Address and token are kept in that file.", "Repair it, or run `ownroot login` again."),
}


def advice_for(error: OwnrootError) -> Advice:
    """Return what to add to an error's own text."""
    if error.code in ADVICE_BY_CODE:
        return ADVICE_BY_CODE[error.code]
    for family in type(error).__mro__:
        if family in _BY_FAMILY:
            return _BY_FAMILY[family]
    return Advice("This error has no family.", "Please report it.")
