// Package plugins is what a plug-in of ceralacca is written with: the author fills in an [Antivirus], a [Conservation], a
// [Notification] or a [Key], and main calls [Serve].
//
// The contract underneath stands in contract/v2; plug-ins in other languages are written against that. This package does
// not start or call plug-ins: that is plugins/host. It imports nothing of the mail server.
package plugins
