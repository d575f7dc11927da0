// Package svg draws the history of a subject: a row for each update in stitched
// order, a lane for each authority, arrows to what each update depends on, and
// where updates contradict each other.
//
// Give a [History] all updates of a subject with [History.Add], then let
// [History.Append] draw it. What is drawn depends on these updates alone, so it
// is the same bytes on every node that has them.
//
// The picture has no script and refers to nothing outside itself. All that users
// wrote is shown as text; what would not print is an escape. Only the newest
// updates are drawn, [Most] at most, and what is said of each is clipped, so that
// a picture is never over 2 MiB. It has colours for light and dark.
package svg
