"""A TLS context that believes one certificate, known by its SHA-256, and no authority."""

import hashlib
import ssl


def pinned_context(pin: str, complaint: str) -> ssl.SSLContext:
    """Takes only the certificate with this SHA-256 (hex), whatever its names, dates and issuer.

    Another one ends each handshake with SSLCertVerificationError: `complaint` and both digests.
    """

    def check(certificate: bytes | None) -> None:
        shown = hashlib.sha256(certificate or b"").hexdigest()
        if shown != pin:
            text = f"{complaint}: expected sha256 {pin}, it shows sha256 {shown}"
            raise ssl.SSLCertVerificationError(1, text)

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(self.getpeercert(binary_form=True))

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            check(self.getpeercert(binary_form=True))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = PinnedObject
    context.sslsocket_class = PinnedSocket
    return context
