"""`audit`: proves the invariants over the whole database."""

import json
import sys
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from fulfillment import auditing as goods
from orders import auditing as money
from orders.auditing import Finding, examine
from orders.revenue import proof as revenue
from payments_site.people import proof as people


class Command(BaseCommand):
    help = "Prove the invariants over the whole database; exit 1 and the offending keys if one fails."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--seal", default="", help="a seal of the audit trail from the log: it must be there")

    def handle(self, *args: Any, **options: Any) -> None:
        """One line per invariant, with the number of rows checked."""
        findings = []
        invariants = (*money.INVARIANTS, *revenue.INVARIANTS, *goods.INVARIANTS, *people.INVARIANTS)
        for finding in chain(examine(invariants), [people.chain_finding(logged=options["seal"])]):
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(_line(finding))
        broken = [finding for finding in findings if finding.broken]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not broken, "invariants": [_document(each) for each in findings]}))
        else:
            self.stdout.write(f"{len(findings)} invariants, {len(broken)} broken")
        if broken:
            sys.exit(1)


def _line(finding: Finding) -> str:
    mark = "BROKEN" if finding.broken else "holds "
    line = f"{mark} {finding.invariant.code}  {finding.checked:>9} rows  {finding.invariant.says}"
    return line + "".join(f"\n         {key}" for key in finding.broken)


def _document(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.invariant.code,
        "says": finding.invariant.says,
        "checked": finding.checked,
        "broken": list(finding.broken),
    }
