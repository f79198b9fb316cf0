// A picture that is asked about: what the service is sent of it, and what is drawn here.
import { Failure } from "./failure.js";

// Of what is drawn here; the service is sent the file itself.
const LONGEST = 1600;

export class Picture {
  /**
   * @param {Blob} file
   * @param {string} name
   * @param {HTMLCanvasElement|null} shown upright, on white; null where this browser can't read it, and the service may
   */
  constructor(file, name, shown) {
    Object.assign(this, { file, name, shown, id: "", url: "" });
  }

  static async of(file, name) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      return new Picture(file, name, null);
    }
    const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
    const shown = document.createElement("canvas");
    shown.width = Math.max(1, Math.round(bitmap.width * scale));
    shown.height = Math.max(1, Math.round(bitmap.height * scale));
    const pen = shown.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, shown.width, shown.height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, shown.width, shown.height);
    bitmap.close();
    return new Picture(file, name, shown);
  }

  /** Have the service keep it; where it can't, the picture goes along with every question. */
  async send(service) {
    try {
      this.id = await service.upload(this.file, this.name);
      this.url = "";
    } catch (error) {
      if (!(error instanceof Failure) || !/send the image with the question/i.test(error.message)) throw error;
      this.url = await dataUrl(this.file);
    }
  }

  /** As a part of a message. */
  part() {
    return this.url ? { type: "image_url", image_url: { url: this.url } } : { type: "file", file: { file_id: this.id } };
  }
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Failure("refused", "The file can't be read.", "Has it been moved?"));
    reader.readAsDataURL(file);
  });
}
