// What Uppy says on the files page: every text of its own that can be seen there. In them, `%{...}` is filled by Uppy.

import { _, _both, amount, ones } from "./words.js";

export function uppyLocale(maxBytes) {
  const file = "%{file}";
  const figures = { complete: "%{complete}", total: "%{total}" };
  return {
    pluralize: (count) => (ones.includes(count) ? 0 : 1),
    strings: {
      // what it has against a file
      exceedsSize: _("%(file)s is larger than the %(size)s that a file may have.", { file, size: amount(maxBytes) }),
      inferiorSize: _("An empty file cannot be stored."),
      noDuplicates: _("“%(file)s” is in the list already.", { file: "%{fileName}" }),
      failedToUpload: _("%(file)s did not get here.", { file }),
      noMoreFilesAllowed: _("No more files can be added now."),
      addBulkFilesFailed: _both("%(n)s file could not be added.", "%(n)s files could not be added."),
      actionFailed: _("That did not work."),
      noInternetConnection: _("You are offline."),
      connectedToInternet: _("You are online again."),
      // where files are chosen
      dashboardTitle: _("Files from this page"),
      dropHint: _("Drop files here"),
      dropPasteFiles: _("Drop files here or %(choose)s", { choose: "%{browseFiles}" }),
      browseFiles: _("choose files"),
      myDevice: _("This device"),
      addMore: _("Add more"),
      addMoreFiles: _("Add more files"),
      addingMoreFiles: _("More files"),
      back: _("Back"),
      cancel: _("Cancel"),
      removeFile: _("Cancel %(file)s", { file }),
      xFilesSelected: _both("%(n)s file chosen", "%(n)s files chosen"),
      xMoreFilesAdded: _both("%(n)s more file added", "%(n)s more files added"),
      uploadXFiles: _both("Send %(n)s file", "Send %(n)s files"),
      uploadXNewFiles: _both("Send %(n)s more file", "Send %(n)s more files"),
      upload: _("Send"),
      // while they travel
      uploading: _("From you"),
      uploadingXFiles: _both("%(n)s file is on its way", "%(n)s files are on their way"),
      processingXFiles: _both("%(n)s file is being prepared", "%(n)s files are being prepared"),
      filesUploadedOfTotal: _both("%(complete)s of %(n)s file", "%(complete)s of %(n)s files", figures),
      dataUploadedOfTotal: _("%(complete)s of %(total)s", figures),
      dataUploadedOfUnknown: _("%(complete)s so far", figures),
      xTimeLeft: _("%(time)s left", { time: "%{time}" }),
      pause: _("Pause"),
      pauseUpload: _("Pause this file"),
      paused: _("Paused"),
      uploadPaused: _("Paused"),
      resume: _("Go on"),
      resumeUpload: _("Go on with this file"),
      retry: _("Try again"),
      retryUpload: _("Try this file again"),
      cancelUpload: _("Cancel this file"),
      complete: _("All of it is here"),
      uploadComplete: _("All of it is here"),
      uploadFailed: _("Not everything got here"),
      error: _("Error"),
      showErrorDetails: _("Show what went wrong"),
      done: _("Done"),
      // after the page was loaded again
      recoveredXFiles: _both(
        "%(n)s file had not got here whole. Choose the same file again, and it goes on where it stopped.",
        "%(n)s files had not got here whole. Choose the same files again, and they go on where they stopped.",
      ),
      recoveredAllFiles: _("Everything is here again and goes on."),
      sessionRestored: _("Not everything is here yet"),
      reSelect: _("Choose again"),
    },
  };
}
