"""Long work that somebody asked for: done once, taken over from the dead, given up in words."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone, translation

from channels_app.models import Environment
from orders import jobs
from orders.jobs import JobImpossible, JobLost, claim_job, request_job, run_due_jobs
from orders.models import Job, JobKind, JobState

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def runner(monkeypatch):
    """`runner(work)`: what the kind "act on many orders" does in this test."""

    def takes(work):
        monkeypatch.setitem(jobs.RUNNERS, JobKind.BULK, work)

    return takes


def ask(**given) -> Job:
    wanted = {
        "kind": JobKind.BULK, "asked": {"n": 1}, "title": "a job", "game": None,
        "environment": Environment.SANDBOX, "by": "lin", "now": timezone.now(),
    }  # fmt: skip
    return request_job(**{**wanted, **given})


def let_lease_end(job):
    Job.objects.filter(pk=job.pk).update(leased_until=timezone.now() - timedelta(seconds=1))


class TestAJob:
    """What was asked for is done once, and everybody can see how far it has come."""

    def test_is_done_and_says_when(self, runner):
        seen = []
        runner(lambda job, progress: seen.append(job.asked))
        job = ask()
        assert run_due_jobs() == 1
        assert run_due_jobs() == 0
        job.refresh_from_db()
        assert seen == [{"n": 1}]
        assert (job.state, job.tries, job.problem, job.leased_until) == (JobState.DONE, 1, "", None)
        assert job.created_at <= job.started_at <= job.finished_at

    def test_shows_how_far_it_has_come_while_it_runs(self, runner):
        seen = []

        def work(job, progress):
            for done in (0, 5, 10):
                progress(done, 10)
                jobs_row = Job.objects.get(pk=job.pk)
                seen.append((jobs_row.state, jobs_row.done, jobs_row.total))

        runner(work)
        ask()
        run_due_jobs()
        assert seen[0] == ("running", 0, 10)
        assert seen[-1] == ("running", 10, 10)

    def test_comes_after_those_asked_for_earlier(self, runner):
        seen = []
        runner(lambda job, progress: seen.append(job.title))
        now = timezone.now()
        ask(title="later", now=now)
        ask(title="earlier", now=now - timedelta(minutes=1))
        run_due_jobs()
        assert seen == ["earlier", "later"]

    def test_is_done_by_one_of_two_workers_that_come_at_once(self, runner):
        started, done = threading.Barrier(2, timeout=20), []
        runner(lambda job, progress: done.append(job.pk))
        for _ in range(6):
            ask()

        def work():
            started.wait()
            run_due_jobs()
            connection.close()

        workers = [threading.Thread(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(done) == len(set(done)) == 6
        assert set(Job.objects.values_list("state", "tries")) == {("done", 1)}

    def test_does_not_wait_for_one_that_another_worker_is_just_claiming(self, runner):
        first, second = ask(now=timezone.now() - timedelta(minutes=1)), ask()
        locked, free = threading.Event(), threading.Event()

        def hold_the_row():
            from django.db import transaction

            with transaction.atomic():
                Job.objects.select_for_update().get(pk=first.pk)
                locked.set()
                free.wait(20)
            connection.close()

        other = threading.Thread(target=hold_the_row)
        other.start()
        try:
            assert locked.wait(20)
            assert claim_job(now=timezone.now()).pk == second.pk
        finally:
            free.set()
            other.join()


class TestAWorkerThatDied:
    """Whatever happens to a process, the job is done by another, and never by two."""

    def test_leaves_its_job_to_the_next_once_its_lease_is_over(self, runner):
        runner(lambda job, progress: None)
        job = ask()
        assert claim_job(now=timezone.now()).pk == job.pk  # and the process is killed here
        assert run_due_jobs() == 0
        let_lease_end(job)
        assert run_due_jobs() == 1
        job.refresh_from_db()
        assert (job.state, job.tries) == (JobState.DONE, 2)

    def test_stops_if_it_was_only_slow(self, runner):
        went_on = []

        def work(job, progress):
            progress(1, 3)
            let_lease_end(job)
            assert claim_job(now=timezone.now()).tries == 2
            progress(3, 3)
            went_on.append(job)

        runner(work)
        job = ask()
        assert run_due_jobs() == 1
        job.refresh_from_db()
        assert went_on == []
        assert (job.state, job.tries, job.done) == (JobState.RUNNING, 2, 0)

    def test_has_its_lease_extended_while_the_work_is_silent(self, runner, monkeypatch):
        monkeypatch.setattr(jobs, "LEASE", timedelta(seconds=0.6))
        seen = []

        def work(job, progress):
            until = Job.objects.get(pk=job.pk).leased_until
            extended = threading.Event()
            for _ in range(200):
                if Job.objects.get(pk=job.pk).leased_until > until:
                    seen.append(job)
                    return
                extended.wait(0.02)

        runner(work)
        job = ask()
        run_due_jobs()
        assert len(seen) == 1
        job.refresh_from_db()
        assert job.state == JobState.DONE

    def test_gives_up_a_job_that_killed_three_of_them(self, runner):
        runner(lambda job, progress: pytest.fail("a fourth try"))
        job = ask()
        for _ in range(3):
            assert claim_job(now=timezone.now()).pk == job.pk
            let_lease_end(job)
        assert run_due_jobs() == 0
        job.refresh_from_db()
        assert job.state == JobState.FAILED
        assert jobs.problem_in_words(job) == "The process that did it ended three times in a row."
        with translation.override("zh-hans"):
            assert jobs.problem_in_words(job) != job.problem


class TestWorkThatFails:
    """An error is tried three times, says what it was, and waits for a person."""

    def test_is_tried_again_later_and_fails_after_the_third_time(self, runner):
        tried = []

        def work(job, progress):
            tried.append(job.tries)
            raise OSError("disk full")

        runner(work)
        job = ask()
        for _ in range(5):
            run_due_jobs()
            job.refresh_from_db()
            if job.state == JobState.QUEUED:
                assert job.leased_until > timezone.now()
                let_lease_end(job)
        assert tried == [1, 2, 3]
        assert job.state == JobState.FAILED
        assert jobs.problem_in_words(job) == "Something unexpected went wrong: OSError"

    def test_is_not_repeated_when_it_can_never_work(self, runner):
        def work(job, progress):
            raise JobImpossible(jobs.DIED)

        runner(work)
        job = ask()
        run_due_jobs()
        job.refresh_from_db()
        assert (job.state, job.tries, job.problem) == (JobState.FAILED, 1, jobs.DIED)

    def test_can_be_asked_for_again(self, runner):
        runner(lambda job, progress: None)
        job = ask()
        jobs.cancel_job(job, by="zhou", now=timezone.now())
        assert run_due_jobs() == 0
        assert jobs.try_job_again(job)
        assert not jobs.try_job_again(job)
        assert run_due_jobs() == 1
        job.refresh_from_db()
        assert (job.state, job.tries) == (JobState.DONE, 1)


class TestAPersonWhoCancels:
    """A cancelled job stops at its next step, and its worker writes nothing more to it."""

    def test_stops_it_while_it_runs(self, runner):
        stopped = []

        def work(job, progress):
            progress(1, 3)
            assert jobs.cancel_job(job, by="zhou", now=timezone.now())
            try:
                progress(3, 3)
            except JobLost:
                stopped.append(job)
                raise

        runner(work)
        job = ask()
        run_due_jobs()
        job.refresh_from_db()
        assert len(stopped) == 1
        assert (job.state, jobs.problem_in_words(job)) == (JobState.FAILED, "Cancelled by: zhou")
        assert not jobs.cancel_job(job, by="zhou", now=timezone.now())

    def test_and_asks_again_waits_for_the_worker_that_may_still_be_at_it(self, runner):
        runner(lambda job, progress: None)
        job = ask()
        claim_job(now=timezone.now())
        jobs.cancel_job(job, by="zhou", now=timezone.now())
        jobs.try_job_again(job)
        assert run_due_jobs() == 0
        let_lease_end(job)
        assert run_due_jobs() == 1


class TestAWorkerThatEnds:
    """SIGTERM ends a worker at once: what it was doing goes to another, and the try is not counted."""

    def test_gives_its_job_back(self, runner):
        stop = threading.Event()

        def work(job, progress):
            stop.set()
            progress(1, 2)
            pytest.fail("went on")

        runner(work)
        job = ask()
        ask()
        assert run_due_jobs(stop=stop) == 1
        job.refresh_from_db()
        assert (job.state, job.tries, job.leased_until) == (JobState.QUEUED, 0, None)

    def test_ends_its_thread(self, runner):
        stop, running = threading.Event(), threading.Event()

        def work(job, progress):
            running.set()
            stop.wait(20)
            progress(1, 2)

        runner(work)
        job = ask()
        worker = threading.Thread(target=jobs.work_off_jobs, args=(stop,))
        worker.start()
        assert running.wait(20)
        stop.set()
        worker.join(20)
        assert not worker.is_alive()
        job.refresh_from_db()
        assert job.state == JobState.QUEUED
