"""The last day on which somebody can still replace a certificate in peace, rather than the second it ends.

A margin says how long before the end one has to act, and it is as long as the work that has to be done by then:

* the factory root: one year. Devices hold it as their trust anchor, everything below it ends with it, and each device
  needs the new `root.crt` while it still trusts the old root. Devices that come online twice a year need their turn.
* a device CA: 90 days. What it signs ends when it does at the latest, so every device it signed has to renew under
  another CA before that, and those that are switched off for weeks too.
* a server certificate (gateway TLS, EST): 30 days. The second it ends no device can connect, not even to ask for help.
  Devices need nothing, but the root key has to sign, and for some owners that is a ceremony of several people.

A certificate that lives less than four margins gets a quarter of its lifetime instead: one made for a week would
otherwise be overdue from its first second. Not looked at: whether the issuer ends earlier; its own day tells that.
"""

from datetime import date, timedelta
from typing import Final

from cryptography import x509

ROOT_MARGIN: Final = timedelta(days=365)
DEVICE_CA_MARGIN: Final = timedelta(days=90)
SERVER_MARGIN: Final = timedelta(days=30)


def last_safe_day(certificate: x509.Certificate, margin: timedelta) -> date:
    """Return the UTC day in which the margin before the end begins; the whole of this day still counts as safe.

    Args:
        certificate: any; one that ends before it begins has the day of its end.
        margin: for its kind, one of those above.
    """
    lifetime = max(certificate.not_valid_after_utc - certificate.not_valid_before_utc, timedelta(0))
    return (certificate.not_valid_after_utc - min(margin, lifetime / 4)).date()
