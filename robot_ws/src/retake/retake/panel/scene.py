"""What every browser sees alike: the robot in 3D, the ground, the camera pictures. Owns the web server.

All methods run in the executor's thread. viser's own thread serves the browsers; it reaches us only through the event
queue, and this is the one file that touches viser's internals (gate and share tunnel), so viser is pinned.
"""

from __future__ import annotations

import contextlib
import io
from queue import SimpleQueue

import numpy as np
import viser
from viser import _messages

from retake.errors import UserError
from retake.panel.gate import refusal
from retake.panel.page import UserEvent
from retake.panel.robot import DrawnRobot

G1_VIEW = ((1.55, 1.05, 1.25), (0.1, 0.0, 0.66))  # eye and target, m
TABLE_VIEW = ((0.9, 0.65, 0.6), (0.2, 0.0, 0.1))
G1_BASE_Z = 0.79  # m, until odometry says where the base is
BLANK = np.full((240, 320, 3), 60, np.uint8)


class PanelScene:
    """The web server and the shared part of its page."""

    def __init__(self, host: str, port: int, token: str, robot: DrawnRobot, cameras: tuple[str, ...],
                 events: SimpleQueue[UserEvent], is_bolted: bool = False) -> None:
        """`is_bolted`: the robot stands on a table and has no odometry."""
        self._is_bolted = is_bolted
        with contextlib.redirect_stdout(io.StringIO()):  # viser's own banner shows an address without the token
            self.server = viser.ViserServer(host=host, port=port, label="Retake", verbose=False)
        if self.server.get_port() != port:  # viser silently takes the next free one
            self.server.stop()
            raise UserError(f"port {port} was taken while the panel started: choose another one (parameter port)")
        self._close_doors(token)
        self._robot = robot
        self._draw_world()
        self._links = self._add_robot()
        self._images = self._add_cameras(cameras)
        self._serve_browsers(events)

    def pose_robot(self, q: np.ndarray | None, base: np.ndarray | None) -> None:
        """Show joint angles q (n,) rad and the base (7,) in odom: position m, quaternion xyzw."""
        with self.server.atomic():
            if base is not None:
                self._links[0].position, self._links[0].wxyz = base[:3], np.roll(base[3:], 1)
            if q is not None:
                for index, wxyz in self._robot.turned(q):
                    self._links[index].wxyz = wxyz

    def show_image(self, camera: str, jpeg: bytes) -> None:
        """Show a camera's newest picture; the JPEG goes to the browser as it came, without decoding it here."""
        self._images[camera]._data = jpeg

    def stop(self) -> None:
        """Close every connection."""
        self.server.stop()

    def _close_doors(self, token: str) -> None:
        """Admit only requests that the gate admits, and take away viser's public share tunnel."""
        web = self.server._websock_server
        web.unregister_handler(_messages.ShareUrlRequest)

        async def gate(connection: viser.infra.WebsockClientConnection) -> None:
            request = web._live_connections[connection.client_id].request
            reason = "no request" if request is None else refusal(request.path, request.headers, token)
            if reason is not None:
                await web._live_connections[connection.client_id].close(1008, reason)

        web._client_connect_cb.insert(0, gate)
        web.disconnect_all_clients()  # who came in between start and now comes again, through the gate

    def _draw_world(self) -> None:
        gui, scene = self.server.gui, self.server.scene
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, control_width="large")
        gui.main_panel.dock_right()
        gui.main_panel.set_width(330)
        scene.configure_default_lights(cast_shadow=False)  # half the work of an operator's laptop
        scene.add_grid("/ground", width=6.0, height=6.0, cell_size=0.1, section_size=1.0, plane="xy",
                       cell_color=(52, 56, 60), section_color=(84, 90, 96))
        scene.add_frame("/odom", axes_length=0.2, axes_radius=0.005)
        view = TABLE_VIEW if self._is_bolted else G1_VIEW
        self.server.initial_camera.position, self.server.initial_camera.look_at = view

    def _add_robot(self) -> list[viser.FrameHandle]:
        offsets = [np.array([0.0, 0.0, 0.0 if self._is_bolted else G1_BASE_Z]), *self._robot.offsets]
        links = [self.server.scene.add_frame(path, show_axes=False, position=offset)
                 for path, offset in zip(self._robot.paths, offsets, strict=True)]
        for index, mesh in enumerate(self._robot.meshes):
            self.server.scene.add_mesh_simple(f"{self._robot.paths[mesh.joint]}/mesh{index}", mesh.vertices, mesh.faces,
                                              color=mesh.rgb, flat_shading=True)
        return links

    def _add_cameras(self, cameras: tuple[str, ...]) -> dict[str, viser.GuiImageHandle]:
        panel = self.server.gui.add_panel()
        with panel.add_tab("Cameras"):
            images = {name: self.server.gui.add_image(BLANK, label=name, format="jpeg") for name in cameras}
        panel.dock_left()
        panel.set_width(330)
        return images

    def _serve_browsers(self, events: SimpleQueue[UserEvent]) -> None:
        """viser's thread only queues: the page of a new browser is built by the executor's thread."""

        @self.server.on_client_connect
        async def _(client: viser.ClientHandle) -> None:
            events.put(UserEvent(client.client_id, "connect", client))

        @self.server.on_client_disconnect
        async def _(client: viser.ClientHandle) -> None:
            events.put(UserEvent(client.client_id, "disconnect"))
