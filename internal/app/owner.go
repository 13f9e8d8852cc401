package app

import (
	"cmp"
	"errors"
	"os"
	"syscall"

	"github.com/ceralacca/ceralacca/internal/config"
)

// asDaemon runs fn as the user of the daemons, to whom the secrets belong and who alone should read them, when root runs a
// command. It changes the user of the whole process meanwhile: for commands, not for daemons.
func asDaemon(c *config.Config, fn func() error) error {
	return asOwner(cmp.Or(c.Key.Key, c.Directory.ClientKey, c.HMAC.Key), fn)
}

// asOwner is asDaemon for the user to whom one secret belongs.
func asOwner(secret string, fn func() error) error {
	info, err := os.Stat(secret)
	if err != nil || os.Geteuid() != 0 {
		return fn() // it says what is wrong with the file
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return fn()
	}
	if err := syscall.Seteuid(int(owner.Uid)); err != nil {
		return err
	}
	err = fn()
	return errors.Join(err, syscall.Seteuid(0))
}
