"""The panel's parts that need neither ROS nor a browser."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pinocchio as pin
import pytest
import trimesh

from controllers import g1
from controllers.model import G1Model
from controllers.rigs import G1
from retake.errors import UserError
from retake.panel.desk import HOLD_S, Desk
from retake.panel.gate import address, check_address, is_loopback, refusal
from retake.panel.robot import DrawnRobot
from retake.panel.session import GRANT_LEASE_S, Phase, TeleopSession
from retake.panel.status import GREEN, GREY, RED, AgeLimit, Status, age_look, age_s, status_html, tilt_deg
from retake.panel.targets import TeleopTargets

TOKEN = "0123456789abcdef"


class TestGate:
    @pytest.mark.parametrize("host, loopback", [
        ("127.0.0.1", True), ("::1", True), ("localhost", True), ("[::1]", True),
        ("0.0.0.0", False), ("192.168.1.4", False), ("robot.local", False),
    ])
    def test_loopback(self, host, loopback):
        assert is_loopback(host) is loopback

    def test_beyond_loopback_needs_a_long_token(self):
        with pytest.raises(UserError, match="at least 16 characters"):
            check_address("0.0.0.0", 0, "short")
        check_address("0.0.0.0", 0, TOKEN)

    def test_taken_port_names_the_remedy(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with pytest.raises(UserError, match="choose another one"):
                check_address("127.0.0.1", taken.getsockname()[1], "")

    @pytest.mark.parametrize("host, origin, admitted", [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("localhost:9000", "http://localhost:9000", True),  # through an ssh tunnel
        ("127.0.0.1:8080", None, True),  # no browser
        ("127.0.0.1:8080", "http://evil.example", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", False),  # another server of this machine
        ("127.0.0.1:8080", "null", False),
        ("evil.example:8080", "http://evil.example:8080", False),  # a name made to point at 127.0.0.1
        ("", None, False),
    ])
    def test_without_a_token_only_this_page(self, host, origin, admitted):
        headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
        assert (refusal("/", headers, "") is None) is admitted

    @pytest.mark.parametrize("path, admitted", [(f"/?token={TOKEN}", True), ("/", False), ("/?token=", False),
                                                (f"/?token={TOKEN}x", False), ("/?token=é", False)])
    def test_token(self, path, admitted):
        assert (refusal(path, {"Host": "robot:8080"}, TOKEN) is None) is admitted

    def test_address_carries_the_token_to_the_websocket(self):
        assert address("127.0.0.1", 8080, "") == "http://127.0.0.1:8080"
        assert address("10.0.0.2", 80, TOKEN) == f"http://10.0.0.2:80/?websocket=ws://10.0.0.2:80/?token={TOKEN}"
        assert address("10.0.0.2", 80, "a b&c#d").endswith("?token=a%20b%26c%23d")


class TestSession:
    def test_asks_waits_for_authority_and_pose_then_drives(self):
        session = TeleopSession(silence_s=1.0)
        assert session.ask(3, now=0.0) is None
        session.answered(3, True, now=0.1)
        assert session.update("policy", True, 0.12) is None and session.is_waiting
        assert session.update("teleop", False, 0.14) is None and session.is_waiting
        assert session.update("teleop", True, 0.16) is None and session.is_driving(3)

    def test_only_one_drives(self):
        session = driving(0)
        assert "browser 1 has it" in session.ask(1, 0.2)
        session.answered(1, True, 0.2)
        assert session.driver == 0

    def test_refused(self):
        session = TeleopSession(1.0)
        session.ask(0, 0.0)
        session.answered(0, False, 0.1)
        assert session.phase is Phase.IDLE and session.ask(1, 0.2) is None

    def test_silence_ends_it_and_life_does_not(self):
        session = driving(0)
        for now in np.arange(0.1, 3.0, 0.3):
            session.hear(0, now)
            assert session.update("teleop", True, now + 0.1) is None
        session.hear(1, 4.5)  # somebody else's life does not count
        assert "was silent" in session.update("teleop", True, 4.5)
        assert session.phase is Phase.IDLE
        assert session.update("teleop", True, 4.6) is None  # said once

    @pytest.mark.parametrize("authority", ["policy", "stopped", "none", "gone"])
    def test_authority_goes_elsewhere(self, authority):
        session = driving(0)
        assert authority in session.update(authority, True, 0.2)
        assert not session.is_driving(0)

    @pytest.mark.parametrize("authority, missing", [("policy", "authority teleop"), ("teleop", "measured_action")])
    def test_a_grant_expires(self, authority, missing):
        session = TeleopSession(10.0)
        session.ask(0, 0.0)
        session.answered(0, True, 0.0)
        assert missing in session.update(authority, False, GRANT_LEASE_S + 0.1)


def driving(client: int) -> TeleopSession:
    session = TeleopSession(silence_s=1.0)
    session.ask(client, 0.0)
    session.answered(client, True, 0.0)
    session.update("teleop", True, 0.0)
    assert session.is_driving(client)
    return session


class TestTargets:
    def test_snap_begins_at_the_robot(self):
        targets = TeleopTargets(G1)
        measured = g1.HOME_ACTION.copy()
        measured[[0, 14, 16]] += [0.05, -0.1, 12.0]
        targets.snap(measured)
        np.testing.assert_allclose(targets.action, measured)

    def test_place_normalises_and_clips(self):
        targets = TeleopTargets(G1)
        targets.place("left", np.array([0.3, 9.0, 0.9]), np.array([0.0, 0.0, 2.0, 2.0]))
        position, quat = targets.pose("left")
        np.testing.assert_allclose(position, [0.3, g1.ACTION_UPPER[1], 0.9])
        np.testing.assert_allclose(quat, [0, 0, 0.5**0.5, 0.5**0.5])
        np.testing.assert_array_equal(targets.pose("right")[0], g1.HOME_ACTION[g1.RIGHT_POSITION])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_what_is_not_finite_is_dropped(self, bad):
        targets = TeleopTargets(G1)
        targets.place("right", np.array([0.3, bad, 0.9]), np.array([0.0, 0, 0, 1]))
        targets.set_channel("base.height", bad)
        targets.place("right", np.array([0.3, 0.0, 0.9]), np.zeros(4))
        np.testing.assert_array_equal(targets.action, g1.HOME_ACTION)
        assert targets.rejected == 3

    @pytest.mark.parametrize("offset", [[0.0, 0.0, 0.1], [9.0, 9.0, 9.0], [-9.0, 0.0, 0.3]])
    def test_both_hands_keep_their_distance(self, offset):
        targets = TeleopTargets(G1)
        apart = targets.pose("left")[0] - targets.pose("right")[0]
        targets.place("both", targets.middle + offset, np.array([0.0, 0, 0, 1]))
        np.testing.assert_allclose(targets.pose("left")[0] - targets.pose("right")[0], apart, atol=1e-12)
        assert np.all(targets.action <= g1.ACTION_UPPER) and np.all(targets.action >= g1.ACTION_LOWER)

    def test_channels(self):
        targets = TeleopTargets(G1)
        targets.set_channel("base.height", 0.1)
        assert targets.channel("base.height") == g1.ACTION_LOWER[g1.BASE_HEIGHT]


class TestStatus:
    def test_a_clock_that_stands_still_does_not_hide_age(self):
        assert age_s(5_000_000_000, 5_020_000_000, since_arrival_s=0.005) == pytest.approx(0.02)
        assert age_s(5_000_000_000, 5_020_000_000, since_arrival_s=7.0) == 7.0

    @pytest.mark.parametrize("age, colour, words", [
        (None, GREY, "no data"), (0.04, GREEN, "40 ms"), (2.5, RED, "2.5 s, lost"),
    ])
    def test_ages_in_colour_and_words(self, age, colour, words):
        assert age_look(AgeLimit("x", 0.1, 0.5), age) == (colour, words)

    @pytest.mark.parametrize("authority, driver, you, words", [
        (None, "", "browser 1", "NO AUTHORITY NODE"),
        ("policy", "", "browser 1", "POLICY"),
        ("teleop", "browser 1", "browser 1", "YOU DRIVE"),
        ("teleop", "browser 1", "browser 2", "browser 1 drives"),
        ("stopped", "", "browser 1", "STOPPED"),
        ("<b>", "", "browser 1", "&lt;B&gt;"),
    ])
    def test_banner(self, authority, driver, you, words):
        assert words in status_html(Status(authority, driver, you, (), (0.7, 1.0)))

    def test_a_fall_is_said(self):
        assert "DOWN" in status_html(Status("policy", "", "browser 1", (), (0.1, 80.0)))
        assert "DOWN" not in status_html(Status("policy", "", "browser 1", (), (0.7, 5.0)))

    def test_tilt(self):
        lying = pin.Quaternion(pin.utils.rotate("y", np.pi / 2)).coeffs()
        assert tilt_deg(lying) == pytest.approx(90.0)


class TestDrawnRobot:
    def test_tree_poses_links_as_pinocchio_does(self):
        model = G1Model().model
        robot = DrawnRobot(model, None)
        assert robot.joint_names == g1.JOINT_NAMES
        q = np.random.default_rng(1).uniform(g1.Q_LOWER, g1.Q_UPPER)
        data = model.createData()
        pin.forwardKinematics(model, data, np.concatenate([pin.neutral(model)[:7], q]))
        for joint, (wxyz, offset) in enumerate(zip(robot.joint_quats_wxyz(q), robot.offsets, strict=True), start=2):
            assert pin.Quaternion(*wxyz).matrix() == pytest.approx(data.liMi[joint].rotation, abs=1e-9)
            assert offset == pytest.approx(data.liMi[joint].translation)
            assert robot.paths[joint - 1].rpartition("/")[0] == robot.paths[model.parents[joint] - 1]

    def test_only_joints_that_turned_are_sent(self):
        robot = DrawnRobot(G1Model().model, None)
        q = g1.Q_HOME.copy()
        assert len(robot.turned(q)) == g1.NUM_JOINTS
        assert robot.turned(q) == []
        for _ in range(10):  # slow motion adds up and is sent in the end
            q[4] += 1e-4
            moved = robot.turned(q)
            if moved:
                break
        assert [index for index, _ in moved] == [5]

    def test_meshes_of_a_folder(self, tmp_path):
        trimesh.creation.box((0.1, 0.1, 0.1)).export(tmp_path / "box.STL")
        geom = {"body": "pelvis", "mesh_file": "box.STL", "position": [0, 0, 1], "quat_xyzw": [0, 0, 0, 1],
                "rgba": [1, 0.5, 0, 1]}
        self._describe(tmp_path, [geom, geom | {"body": "torso_link"}])
        meshes = DrawnRobot(G1Model().model, tmp_path).meshes
        assert len(meshes) == 2 and meshes[0].joint == 0 and meshes[0].rgb == (255, 128, 0)
        np.testing.assert_allclose(meshes[0].vertices.mean(axis=0), [0, 0, 1], atol=1e-6)

    def test_bad_folders_are_named(self, tmp_path):
        with pytest.raises(ValueError, match="no robot meshes in"):
            DrawnRobot(G1Model().model, tmp_path)
        self._describe(tmp_path, [{"body": "tail", "mesh_file": "x", "position": [0, 0, 0], "quat_xyzw": [0, 0, 0, 1],
                                   "rgba": [1, 1, 1, 1]}])
        with pytest.raises(ValueError, match="tail"):
            DrawnRobot(G1Model().model, tmp_path)

    @staticmethod
    def _describe(folder: Path, geoms: list[dict]) -> None:
        (folder / "visuals.json").write_text(json.dumps({"format": 1, "geoms": geoms}))


class TestHeldButtons:
    def test_let_go_nothing_moves_along_the_path(self):
        desk = Desk(SimpleQueue(), 2.0, lambda *_: None, G1)
        desk.session.driver, desk.session.phase = 3, Phase.REWINDING
        desk._held = -1.0, 10.0
        assert desk.path_speed(10.1) == -1.0
        assert desk.path_speed(10.0 + 1.01 * HOLD_S) is None
        desk.session.end()
        assert desk.path_speed(10.0) is None

    def test_rewinding_goes_on_to_driving_or_ends(self):
        session = TeleopSession(2.0)
        session.ask(1, 0.0)
        session.answered(1, True, 0.1)
        session.update("teleop", True, 0.2)
        assert session.is_driving(1)
        session.update("rewind", False, 0.3)
        assert session.is_rewinding(1) and not session.is_driving(1)
        assert session.ask(2, 0.4) and session.ask(1, 0.4) is None
        session.answered(1, True, 0.5)
        session.update("teleop", True, 0.6)
        assert session.is_driving(1)
        session.update("rewind", False, 0.7)
        assert session.update("stopped", False, 0.8) == "teleoperation ended: authority is stopped"
