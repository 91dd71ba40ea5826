// What a headset's browser has and a headless Chromium lacks: navigator.xr with one session and two controllers.
// `headset` is for the test: hands it holds, where the head is. It draws 30 frames a second: software draws them.
"use strict";
window.headset = {
  head: [0, 1.7, 0, 0, 0, 0, 1],
  left: { pose: [-0.2, 1.2, -0.3, 0, 0, 0, 1], buttons: [0, 0, 0, 0, 0, 0], axes: [0, 0, 0, 0] },
  right: { pose: [0.2, 1.2, -0.3, 0, 0, 0, 1], buttons: [0, 0, 0, 0, 0, 0], axes: [0, 0, 0, 0] },
};
(() => {
  const point = (x, y, z, w) => ({ x, y, z, w });
  const transform = (p) => ({
    position: point(p[0], p[1], p[2], 1), orientation: point(p[3], p[4], p[5], p[6]),
    matrix: new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, p[0], p[1], p[2], 1]),
    inverse: { matrix: new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, -p[0], -p[1], -p[2], 1]) },
  });
  const source = (side) => ({
    handedness: side, gripSpace: side, hand: null,
    get gamepad() {
      const { buttons, axes } = window.headset[side];
      return { mapping: "xr-standard", axes, buttons: buttons.map((value) => ({ value, pressed: value > 0.5 })) };
    },
  });
  const projection = new Float32Array([1, 0, 0, 0, 0, 1.78, 0, 0, 0, 0, -1, -1, 0, 0, -0.1, 0]);
  class Session {
    inputSources = [source("left"), source("right")];
    renderState = {};
    updateRenderState(state) { this.renderState = state; }
    async requestReferenceSpace() { return {}; }
    requestAnimationFrame(callback) {
      setTimeout(() => this.draw(callback, performance.now(), {
        getViewerPose: () => {
          const at = transform(window.headset.head);
          return { transform: at, views: [{ transform: at, projectionMatrix: projection }] };
        },
        getPose: (side) => ({ transform: transform(window.headset[side].pose), emulatedPosition: false }),
      }), 30);
    }
    draw(callback, time, frame) {
      callback(time, frame);
      window.headset.look?.();  // a canvas keeps its pixels until the frame ends
      window.headset.look = null;
    }
    end() { this.onend(); }
  }
  window.XRWebGLLayer = class {
    constructor(_, gl) {
      this.framebuffer = null;
      Object.assign(gl.canvas, { width: 360, height: 180 });
      document.body.append(gl.canvas);
    }
    getViewport() { return { x: 0, y: 0, width: 360, height: 180 }; }
  };
  Object.defineProperty(navigator, "xr", {
    value: { isSessionSupported: async (mode) => mode === "immersive-vr", requestSession: async () => new Session() },
  });
})();
