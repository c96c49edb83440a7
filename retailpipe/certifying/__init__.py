"""Certificates: a proof, from a second reader, that every cell of a workbook is in the warehouse.

`xlsx` and `csv_file` read a workbook, `layout` finds its table, and `values` evaluates its cells. They share no code
with the first reader (`retailpipe.workbook`) and the loader, only the contract's declaration. `comparison` merges their
rows with those of `stored`; `statement`, `envelope` and `keys` make the certificate, and `checking` checks one.
"""

from __future__ import annotations

from retailpipe.certifying.certificates import certify
from retailpipe.certifying.checking import check_certificate
from retailpipe.certifying.reports import CertificateCheck, Certification, Difference

__all__ = ["CertificateCheck", "Certification", "Difference", "certify", "check_certificate"]
