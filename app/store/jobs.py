"""Jobs: what the model was asked to do in a section, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.records import InvalidValue, JobRow, JobState, NotFound
from app.store.transaction import Verbs


class JobVerbs(Verbs):
    def start_job(self, job: str, section_id: int, request: Mapping[str, Any]) -> None:
        """Notes a running job. request: what was asked, as JSON values. Raises NotFound, InvalidValue (id in use)."""
        with self._writing() as tx:
            tx.section(section_id)
            if tx.db.execute("SELECT 1 FROM jobs WHERE job = ?", [job]).fetchone():
                raise InvalidValue(f"The job {job} has been started before; give the new one another name.")
            asked = {"state": "running", "request": json.dumps(dict(request)), "started": tx.at}
            tx.insert("jobs", {"job": job, "section_id": section_id, **asked})

    def end_job(self, job: str, state: JobState, note: Any) -> None:
        """Notes how a job ended. note: JSON values. Raises NotFound."""
        with self._writing() as tx:
            changed = tx.db.execute(
                "UPDATE jobs SET state = ?, note = ?, ended = ? WHERE job = ?", [state, json.dumps(note), tx.at, job]
            )
            if not changed.rowcount:
                raise NotFound(f"There is no job {job}; look at the list of jobs again.")

    def jobs(self, section_id: int) -> list[JobRow]:
        """All jobs of a section, the first one first."""
        return self._jobs("section_id = ?", [section_id])

    def unfinished_jobs(self) -> list[JobRow]:
        """Jobs that were started and never ended: running now, or cut off by a crash."""
        return self._jobs("state = 'running'", [])

    def _jobs(self, where: str, values: list[Any]) -> list[JobRow]:
        with self._reading() as tx:
            rows = tx.db.execute(
                f"SELECT job, section_id, state, request, note, started, ended FROM jobs WHERE {where} ORDER BY rowid",
                values,
            ).fetchall()
        return [
            JobRow(job, of, state, json.loads(request), json.loads(note), *times)
            for job, of, state, request, note, *times in rows
        ]
