"""Which names the jobs of one `plan` want to write, and which of them two jobs want for different paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncd.domain import Action, Delete, Finding, FindingKind
from syncd.domain.plan import NOT_SETTLED


class Wishes:
    """The names that the jobs of one command want to write. A name on a site belongs to the first job that wants it."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], tuple[str, Action]] = {}

    def foretold(self, site: str, finding: Finding) -> Finding:
        """Return the finding. If it waits for a name that one of these plans settles, it also says so.

        Then the same run may go on with it, once that name is settled.
        """
        # Of few findings only: each is compared with every name.
        if not finding.message.endswith(NOT_SETTLED.partition("{}")[2]):
            return finding
        written = (
            action.name
            for (of_site, _), (_, action) in self._by_name.items()
            if of_site == site and not isinstance(action, Delete)
        )
        if not any(finding.message.endswith(NOT_SETTLED.format(name)) for name in written):
            return finding
        return replace(finding, message=f"{finding.message}; once this plan has settled it, the same run may go on")

    def sorted_out(self, site: str, job: str, actions: Sequence[Action]) -> tuple[tuple[Action, ...], list[Finding]]:
        """Return the actions that are this job's, and a conflict for each name that an earlier one gives another path.

        An action that an earlier job or target sends in the same way is left out: it is needed only once. It is left
        out as well, without a conflict, where one of the two actions is a deletion.
        """
        fresh, disputed = [], []
        for action in actions:
            # Names that differ only in case collide: a site may take them for one.
            earlier = self._by_name.setdefault((site, action.name.casefold()), (job, action))
            if earlier[1] is action:
                fresh.append(action)
            # A deletion wants nothing under the name, so it disputes it with nobody.
            elif not isinstance(action, Delete) and not isinstance(earlier[1], Delete):
                rival = earlier[1].desired
                # Two jobs that give one reference the same name merge, and one of them sends it for both.
                if (rival.name, rival.ref, rival.pin) != (action.name, action.desired.ref, action.desired.pin):
                    message = f"{rival.name} belongs to {rival.ref} of job {earlier[0]}"
                    hint = "give one of the two rules another `name`"
                    ref = action.desired.ref
                    disputed.append(
                        Finding(kind=FindingKind.CONFLICT, name=action.name, ref=ref, message=message, hint=hint)
                    )
        return tuple(fresh), disputed
