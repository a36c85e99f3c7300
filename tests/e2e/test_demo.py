"""`usage-triggers demo`: what a stranger sees within the first minute."""

import signal
from pathlib import Path

import httpx

from tests.e2e.running import Running, polled


def test_stops_become_calls_before_the_reader_s_eyes(tmp_path: Path) -> None:
    demo = Running("demo", "--port", "0", directory=tmp_path)
    try:
        url = demo.until(r"Open the inbox: (http://\S+)/")[1]
        key = demo.until(r"(ut_[0-9a-f]{8}_[\w-]{43})")[1]
        stopped = demo.until(r"\d\d:\d\d  (.+): usage\.stopped: no use by 14:00")[1]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as http:
            answer = polled(
                lambda: http.get("/v1/tasks", params={"limit": 200}),
                lambda found: any(task["customer_name"] == stopped for task in found.json()["tasks"]),
            )
            page = http.get("/")
        assert answer.status_code == page.status_code == 200
        demo.until(r"back in use after \d+ missed days?, the call closes by itself")
    finally:
        status = demo.stop(signal.SIGINT)
    assert status == 0


def test_whoever_reaches_the_demo_from_elsewhere_signs_in_and_may_then_do_everything(tmp_path: Path) -> None:
    demo = Running("demo", "--host", "0.0.0.0", "--port", "0", directory=tmp_path)
    try:
        name, password = demo.until(r"sign in as (\S+), password (\S+)").groups()
        url = demo.until(r"Open the inbox: (http://\S+)/")[1]
        key = demo.until(r"(ut_[0-9a-f]{8}_[\w-]{43})")[1]
        with httpx.Client(base_url=url, headers={"Origin": url}, trust_env=False) as http:
            unasked = http.get("/")
            http.post("/sign-in", data={"name": name, "password": password})
            tasks = polled(
                lambda: http.get("/v1/tasks", headers={"Authorization": f"Bearer {key}"}),
                lambda found: found.json()["tasks"] != [],
            )
            acted = http.post(f"/tasks/{tasks.json()['tasks'][0]['id']}/acknowledge", follow_redirects=True)
        assert unasked.headers["location"].startswith("/sign-in")
        assert acted.status_code in (200, 409)  # 409: a colleague on the stage was quicker
    finally:
        demo.stop(signal.SIGINT)


def test_the_demo_leaves_nothing_behind_and_can_end_by_itself(tmp_path: Path) -> None:
    demo = Running("demo", "--port", "0", "--seconds", "2", directory=tmp_path)
    demo.until("restaurants and 5 months of their use are read in")
    assert demo.stop(0) == 0
    assert list(tmp_path.iterdir()) == []
