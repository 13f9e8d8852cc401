// Package lab starts a small world of certified mail on one machine, fresh each
// time, on loopback addresses and free ports: the certified providers alfa and beta
// (Postfix with its out instance, Dovecot, and ceralacca's two daemons), gamma, an
// ordinary host, and delta, a provider in the directory without a host whose key
// the lab gives away. The servers' configuration is that of deploy/postfix and
// deploy/dovecot, with a stand-in for what an administrator has already (base/).
//
//	l, err := lab.Start(ctx, lab.Options{Dir: t.TempDir(), Bin: binary, Daemons: true})
//	defer l.Stop()
//	l.Alfa.Users[0].Address, l.Alfa.SubmissionPort, l.Beta.IMAPSPort, …
//	l.Processes().Signal("alfa-milter", syscall.SIGKILL) // it is back within 2 s
//	l.Processes().Halt("beta-dovecot")                   // ended, and stays so
//	l.Resume(ctx, "beta-dovecot")                        // started again
//
// With Options.Antivirus alfa and beta have a clamd each, named alfa-clamd and
// beta-clamd, which knows the EICAR test file and nothing else; the file
// ALFA_CLAMD_CONFIG of the env file may be changed, and signatures put into the
// folder ALFA_CLAMD_DATABASE, which count within 5 s, or after zRELOAD at
// ALFA_CLAMD_SOCKET; ALFA_CLAMD_PID names its pid file.
//
// Several labs run side by side. A lab's processes end with the process that
// started it. The package sends and reads no mail: its users do.
package lab
